// Package command is fernwerkd's command line: serve, check-config, passwd, depot,
// backup, restore, cluster-key, ca, service, version.
package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fernwerk/fernwerk/internal/kit/nearest"
	"github.com/fernwerk/fernwerk/internal/kit/systemd"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/config"
)

// Run runs fernwerkd with the arguments of this process.
func Run(ctx context.Context, version string) error {
	called := false
	root := &cobra.Command{
		Use:               "fernwerkd",
		Short:             "Fernwerk's server: software and configuration for machines that are far away",
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              noCommand,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRun:  func(*cobra.Command, []string) { called = true },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(serve(version), checkConfig(), passwd(), depot(), backUp(version), restore(), clusterKey(), presence(), authority(), contentTrust(), service(), guard(), &cobra.Command{
		Use: "version", Short: "Print the version", Args: arguments,
		Run: func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "fernwerkd", version) },
	})
	c, err := root.ExecuteContextC(ctx)
	if err != nil && !called {
		return &usage{err, c.CommandPath()}
	}
	return err
}

// usage is an error of who called a command: exit code 2.
type usage struct {
	error
	command string
}

func (u *usage) ExitCode() int { return 2 }
func (u *usage) Hint() string  { return "try: " + u.command + " --help" }
func (u *usage) Unwrap() error { return u.error }
func (u *usage) Error() string {
	return strings.ReplaceAll(strings.TrimSpace(u.error.Error()), "\n\n", "\n")
}

// noCommand refuses what stands where a command should, and names the nearest.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, sub := range c.Commands() {
		known = append(known, sub.Name())
	}
	if near, ok := nearest.Suggest(args[0], known); ok {
		return fmt.Errorf("unknown command %q (did you mean %q?)", args[0], near)
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// arguments checks the number of arguments by the names that Use gives them.
func arguments(c *cobra.Command, given []string) error {
	isOption := func(name string) bool { return strings.HasPrefix(name, "-") }
	names, least := slices.DeleteFunc(strings.Fields(c.Use)[1:], isOption), 0
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
	}
	switch {
	case len(given) < least:
		return fmt.Errorf("cannot run %q: %s is missing", c.CommandPath(), names[len(given)])
	case len(given) > len(names):
		return fmt.Errorf("cannot run %q: %q is one argument too many", c.CommandPath(), given[len(names)])
	}
	return nil
}

// flagError names the nearest option for an unknown one.
func flagError(c *cobra.Command, err error) error {
	wrong, ok := err.(*pflag.NotExistError)
	if !ok {
		return err
	}
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near, ok := nearest.Suggest(wrong.GetSpecifiedName(), known); ok {
		return fmt.Errorf("%w (did you mean --%s?)", err, near)
	}
	return err
}

// options are the flags that say which server is meant.
type options struct {
	file, data, listen string
}

func (o *options) define(c *cobra.Command) {
	c.Flags().StringVar(&o.file, "config", "", "configuration `FILE` (TOML); none is needed")
	c.Flags().StringVar(&o.data, "data", "", "data `DIR` (default /var/lib/fernwerk for root, else in your data folder)")
}

// defineListen is for the commands to which the port matters.
func (o *options) defineListen(c *cobra.Command) {
	c.Flags().StringVar(&o.listen, "listen", "", "`HOST:PORT` to serve on (default "+config.DefaultListen+", port 0 takes a free one)")
}

// config is the configuration from file and flags; a flag counts before the file.
func (o *options) config() (config.Config, error) {
	var cfg config.Config
	if o.file != "" {
		if err := config.Load(o.file, &cfg); err != nil {
			return cfg, err
		}
	}
	if o.data != "" {
		cfg.Data = o.data
	}
	if o.listen != "" {
		cfg.Listen = o.listen
	}
	return cfg, cfg.Check()
}

// adminPassword names the variable with the first administrator's password.
const adminPassword = "FERNWERK_ADMIN_PASSWORD"

func serve(version string) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until it is interrupted. The first start makes the data folder,
the certificate authority, the database and the administrator "admin"; its
password is FERNWERK_ADMIN_PASSWORD, or is made and shown once. When the server
answers, it prints one line: ready https://HOST:PORT`,
		Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			cfg.Version = version
			if self, err := os.Executable(); err == nil {
				cfg.Guard = []string{self, guardCommand}
			}
			cfg.AdminPassword = os.Getenv(adminPassword)
			os.Unsetenv(adminPassword) // no business of the scripts in packages
			cfg.Log = logger(c.ErrOrStderr(), cfg)
			return run(c.Context(), cfg, c.OutOrStdout())
		},
	}
	o.define(c)
	o.defineListen(c)
	return c
}

// logger writes lines as the configuration wants them.
func logger(w io.Writer, cfg config.Config) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

func run(ctx context.Context, cfg config.Config, out io.Writer) error {
	s, err := server.New(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready", s.URL()) // the port is open since New
	if err := systemd.Ready(ctx); err != nil {
		cfg.Log.Warn("systemd does not hear", "error", err)
	}
	return s.Serve(ctx)
}

func checkConfig() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration and print what counts",
		Args:  arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), cfg)
		},
	}
	o.define(c)
	o.defineListen(c)
	return c
}
