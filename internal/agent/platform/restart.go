package platform

import (
	"os"
	"os/exec"
	"strconv"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// RestartCommand is the system's own command that restarts the machine at once. An
// agent that somebody started by hand has none: nobody's machine shall go down for
// a program that was tried out.
func RestartCommand() ([]string, error) {
	if os.Getenv(BootIDEnv) != "" {
		return nil, fleet.Errorf(fleet.NotHere, "its boot id is a given one (%s): this is no machine that can restart", BootIDEnv)
	}
	if !Managed() {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "no service manager runs this agent: somebody started it by hand"),
			"run it as a service, or name a command: [reboot] command in agent.conf")
	}
	return restartCommand(), nil
}

// Managed tells whether a service manager started this very process.
func Managed() bool { return managed() }

// WarnCommand is the system's own command that tells everybody who is logged in
// something; the text follows it. Nothing where there is none, and for an agent
// that was started by hand.
func WarnCommand() []string {
	if wall, err := exec.LookPath("wall"); err == nil && Managed() && os.Getenv(BootIDEnv) == "" {
		return []string{wall}
	}
	return nil
}

// bySystemd tells whether systemd started this very process: what it started may
// have handed its environment on.
func bySystemd(getenv func(string) string, pid, parent int) bool {
	if id := getenv("SYSTEMD_EXEC_PID"); id != "" { // since 248
		return id == strconv.Itoa(pid)
	}
	return getenv("INVOCATION_ID") != "" && parent == 1
}
