// Package command is the agent's command line: join, run, and what the
// machine's own administrator looks at and steers.
package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/platform"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/kit/systemd"
)

// usageError is a wrong command line: exit status 2.
type usageError struct{ error }

func (usageError) ExitCode() int { return 2 }

// New makes the command tree.
func New(version string) *cobra.Command {
	var dataDir string
	root := &cobra.Command{
		Use: "fernwerk-agent", Short: "Keeps this machine up to date", Version: version,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError{fmt.Errorf("unknown command %q\nsee: %s --help", args[0], c.CommandPath())}
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nsee: %s --help", err, c.CommandPath())}
	})
	root.PersistentFlags().StringVar(&dataDir, "data", platform.DataDir(), "the agent's data folder")
	root.AddCommand(joinCommand(&dataDir), runCommand(&dataDir, version), statusCommand(&dataDir), infopageCommand(&dataDir), configCommand(), trustCommand(&dataDir), fireCommand(&dataDir), updatesCommand(&dataDir), filesCommand(&dataDir), tunnelCommand(&dataDir, version), meshCommand(&dataDir), serviceCommand(&dataDir))
	return root
}

// arguments is cobra.ExactArgs in our words, with the usage exit status.
func arguments(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case c.HasSubCommands() && len(args) > 0:
			return usageError{fmt.Errorf("unknown command %q for %q\nsee: %s --help", args[0], c.CommandPath(), c.CommandPath())}
		case len(args) != n:
			return usageError{fmt.Errorf("cannot run %q: its number of arguments is %d, not %d\nusage: %s", c.CommandPath(), n, len(args), c.UseLine())}
		}
		return nil
	}
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
		Use: "run", Short: "Runs the agent until it is told to stop", Args: arguments(0),
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logger(c.ErrOrStderr(), level)
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

func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("cannot use log level %q: it is one of debug, info, warn, error", level)}
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}
