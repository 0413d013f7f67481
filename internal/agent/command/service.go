package command

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/platform"
	"github.com/fernwerk/fernwerk/internal/kit/systemd"
)

// serviceLines are of the unit. Nothing of systemd's hardening is in it: what the agent
// installs may change anything on the machine, and inherits what the unit forbids.
const serviceLines = `# Only the agent itself is stopped: OpenVPN keeps its tunnels while another agent begins, and what products' scripts
# started as services lives on. What a killed agent left of a script the next one ends.
KillMode=process
Restart=always
RestartSec=5s
TimeoutStartSec=5min
TimeoutStopSec=30s
# A script that takes all memory ends, and not the agent that has to say so.
OOMPolicy=continue
TasksMax=infinity
StateDirectory=fernwerk-agent
StateDirectoryMode=0700
`

func serviceCommand(dataDir *string) *cobra.Command {
	c := group(systemd.Command(func() (systemd.Unit, error) {
		program, err := os.Executable()
		if err != nil {
			return systemd.Unit{}, err
		}
		dir, err := filepath.Abs(*dataDir)
		return unit(program, dir), err
	}))
	for _, sub := range c.Commands() {
		sub.Args = arguments
	}
	return c
}

func unit(program, dir string) systemd.Unit {
	u := systemd.Unit{Name: "fernwerk-agent", Description: "Fernwerk agent: keeps this machine up to date", Exec: []string{program, "run"}, Service: serviceLines}
	if dir != platform.DataDir() {
		u.Exec = append(u.Exec, "--data", dir)
	}
	return u
}
