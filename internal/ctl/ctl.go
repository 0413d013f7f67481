// Package ctl is fernwerk, the administrator's command line.
//
// It is a client like any other: everything goes through the server's methods
// and /v1, with the rights of whoever logs in. One file holds one command.
//
// What scripts may rely on: results go to standard output and nothing else
// does; --json makes them JSON, one document a command; errors are one line
// `error: ...` on standard error, with a line `hint: ...` where there is a next
// step; the exit codes are those of docs/reference/exit-codes.md. Text that came
// from another machine is made safe before it reaches a terminal, also inside
// JSON and errors.
//
// The server, the account and the trust in the server come from flags, the
// environment (FERNWERK_SERVER, FERNWERK_USER, FERNWERK_PASSWORD, FERNWERK_CA)
// or the saved login, in this order. What was saved for one server is never
// sent to another.
package ctl

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// System is what the program gets from its surroundings.
type System struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Version  string
}

// OS is the real surroundings.
func OS(version string) System {
	return System{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Version: version}
}

// Run runs one command. Its error has the exit code and, where there is a next
// step, the hint, as kit/run reports them.
func Run(ctx context.Context, sys System, args []string) error {
	t := newTool(sys)
	t.dial = func(ctx context.Context) (backend, error) { return t.source.Connect(ctx) }
	return t.run(ctx, args)
}

// tool is one run of the program: what all commands share.
type tool struct {
	console.Console
	source  session.Source
	version string
	getenv  func(string) string

	// dial makes the connection that commands call methods through.
	dial func(context.Context) (backend, error)
	conn backend // dialled
}

func newTool(sys System) *tool {
	t := &tool{Console: console.Console{In: sys.In, Out: sys.Out, Err: sys.Err}, version: sys.Version, getenv: sys.Getenv}
	t.source = session.Source{Getenv: sys.Getenv, Console: &t.Console, UserAgent: "fernwerk/" + sys.Version}
	return t
}

func (t *tool) run(ctx context.Context, args []string) error {
	root := t.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if c, ok := t.conn.(*session.Connection); ok {
		c.Close()
	}
	return presentable(err)
}

func (t *tool) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fernwerk",
		Short: "Administer a Fernwerk server",
		Long: `fernwerk administers the hosts, products and packages of a Fernwerk server.

Begin with "fernwerk login https://SERVER:4447". Instead of a saved login, the
environment may hold FERNWERK_SERVER, FERNWERK_USER, FERNWERK_PASSWORD and
FERNWERK_CA.

Exit status: 0 done, 1 failed, 2 called wrongly, 3 partly done, 4 waiting for
somebody else, 5 refused.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       t.version,
	}
	t.addFlags(root)
	root.SetVersionTemplate("fernwerk {{.Version}}\n")
	root.SetOut(t.Out)
	root.SetErr(t.Err)
	root.SetIn(t.In)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		t.loginCommand(), t.logoutCommand(), t.whoamiCommand(), t.statusCommand(), t.rpcCommand(),
		t.hostCommand(), t.packageCommand(), t.productCommand(), t.actionCommand(), t.logCommand(),
		t.devCommand(), t.docsCommand(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	group(root)
	for _, c := range root.Commands() {
		if c.HasSubCommands() {
			group(c)
		}
	}
	return root
}

// presentable makes an error safe to print: parts of it may come from the
// server. Its exit code stays.
func presentable(err error) error {
	if err == nil {
		return nil
	}
	return &shown{err}
}

type shown struct{ error }

func (s *shown) Error() string { return term.Clean(strings.TrimSpace(s.error.Error())) }
func (s *shown) Unwrap() error { return s.error }

func (s *shown) Hint() string {
	h, ok := errors.AsType[interface {
		error
		Hint() string
	}](s.error)
	if !ok {
		return ""
	}
	return term.Clean(h.Hint())
}
