package nodefile

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
)

// restartTime is how long a restart may take.
const restartTime = 90 * time.Second

// Restarter restarts services by a command, in which %u is the service; empty is
// systemd's try-restart, which leaves alone what does not run.
func Restarter(command string) func(ctx context.Context, unit string) error {
	return func(ctx context.Context, unit string) error {
		argv := []string{"systemctl", "try-restart", "--", unit + ".service"}
		if command != "" {
			argv = strings.Fields(command)
			for i, word := range argv { // an argument is one, whatever the service's name
				argv[i] = strings.ReplaceAll(word, "%u", unit)
			}
		} else if _, err := os.Stat("/run/systemd/system"); err != nil {
			return fleet.WithHint(fleet.Errorf(fleet.NotHere, "this machine is not run by systemd"), "set restart under [files] in agent.conf, such as: restart = /usr/sbin/service %%u restart")
		}
		var out strings.Builder
		r, err := secureexec.Run(ctx, secureexec.Command{Argv: argv, Env: secureexec.Inherit("PATH", "HOME", "LANG"), Out: &out, Err: &out, OutputLimit: 4 << 10, Timeout: restartTime, KillGrace: 5 * time.Second})
		if err == nil {
			err = r.Failure()
		}
		if text := strings.TrimSpace(out.String()); err != nil && text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return err
	}
}
