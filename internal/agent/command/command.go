// Package command is the agent's command line: join, run, and what the
// machine's own administrator looks at and steers.
package command

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/platform"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/kit/systemd"
)

// New makes the command tree.
func New(version string) *cobra.Command {
	var dataDir string
	root := group(&cobra.Command{
		Use: "fernwerk-agent", Short: "Keeps this machine up to date", Version: version,
		SilenceUsage: true, SilenceErrors: true,
	})
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().StringVar(&dataDir, "data", platform.DataDir(), "the agent's data folder")
	root.AddCommand(joinCommand(&dataDir), runCommand(&dataDir, version), statusCommand(&dataDir), infopageCommand(&dataDir), configCommand(), trustCommand(&dataDir), fireCommand(&dataDir), updatesCommand(&dataDir), filesCommand(&dataDir), tunnelCommand(&dataDir, version), meshCommand(&dataDir), serviceCommand(&dataDir))
	return root
}

// Run is the whole program.
func Run(version string) {
	run.Main(func(ctx context.Context) error { return New(version).ExecuteContext(ctx) })
}

// settled is how long after its start the agent rests, if nothing is to be done.
const settled = time.Minute

func runCommand(dataDir *string, version string) *cobra.Command {
	var listen, level string
	c := &cobra.Command{
		Use: "run", Short: "Runs the agent until it is told to stop", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logger(c, level)
			if err != nil {
				return err
			}
			a, err := agent.New(c.Context(), agent.Config{DataDir: *dataDir, Control: listen, Version: version, Log: log})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "ready https://%s\n", a.Addr())
			if err := systemd.Ready(c.Context()); err != nil {
				log.Warn("systemd does not hear", "error", err)
			}
			// What the start needed is given back once it is over: the agent rests then.
			rest := time.AfterFunc(settled, debug.FreeOSMemory)
			defer rest.Stop()
			return a.Serve(c.Context())
		},
	}
	c.Flags().StringVar(&listen, "control", "", "where the local service listens (default: the configuration's, 127.0.0.1:4441)")
	c.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return c
}

func logger(c *cobra.Command, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, misused(c, "cannot use log level %q: it is one of debug, info, warn, error", level)
	}
	return slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: l})), nil
}
