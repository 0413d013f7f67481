package command

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/kit/systemd"
)

// serviceLines are of the unit. The server starts OpenVPN and calls schedulers' own
// programs, some of them with another user's rights, so that only what none of those
// needs is forbidden.
const serviceLines = `# Only the server itself is stopped: OpenVPN keeps the nodes' tunnels while another server begins, and is taken over by it.
KillMode=process
Restart=always
RestartSec=2s
TimeoutStartSec=5min
TimeoutStopSec=90s
# A connection of each host, and files.
LimitNOFILE=131072
StateDirectory=fernwerk
StateDirectoryMode=0700
ProtectClock=yes
ProtectKernelLogs=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
`

func service() *cobra.Command {
	var o options
	c := systemd.Command(func() (systemd.Unit, error) {
		program, err := os.Executable()
		if err != nil {
			return systemd.Unit{}, err
		}
		for _, path := range []*string{&o.file, &o.data} {
			if *path != "" {
				if *path, err = filepath.Abs(*path); err != nil {
					return systemd.Unit{}, err
				}
			}
		}
		return unit(program, o), nil
	})
	for _, sub := range c.Commands() {
		o.define(sub)
	}
	return c
}

func unit(program string, o options) systemd.Unit {
	u := systemd.Unit{Name: "fernwerkd", Description: "Fernwerk server", Exec: []string{program, "serve"}, Service: serviceLines}
	if o.file != "" {
		u.Exec = append(u.Exec, "--config", o.file)
	}
	if o.data != "" {
		u.Exec = append(u.Exec, "--data", o.data)
	}
	return u
}
