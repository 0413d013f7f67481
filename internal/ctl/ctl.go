// Package ctl is fernwerk, the administrator's command line.
//
// It is a client like any other: everything goes through the server's methods
// and /v1, with the rights of whoever logs in. The commands live in packages
// named after what they are about, one file a command; this one joins them.
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
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/accounts"
	"github.com/fernwerk/fernwerk/internal/ctl/audit"
	"github.com/fernwerk/fernwerk/internal/ctl/depots"
	"github.com/fernwerk/fernwerk/internal/ctl/dev"
	"github.com/fernwerk/fernwerk/internal/ctl/feeds"
	"github.com/fernwerk/fernwerk/internal/ctl/groups"
	"github.com/fernwerk/fernwerk/internal/ctl/hosts"
	"github.com/fernwerk/fernwerk/internal/ctl/licences"
	"github.com/fernwerk/fernwerk/internal/ctl/login"
	"github.com/fernwerk/fernwerk/internal/ctl/mesh"
	"github.com/fernwerk/fernwerk/internal/ctl/nodefiles"
	"github.com/fernwerk/fernwerk/internal/ctl/nodes"
	"github.com/fernwerk/fernwerk/internal/ctl/params"
	"github.com/fernwerk/fernwerk/internal/ctl/products"
	"github.com/fernwerk/fernwerk/internal/ctl/resources"
	"github.com/fernwerk/fernwerk/internal/ctl/service"
	"github.com/fernwerk/fernwerk/internal/ctl/tokens"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/trust"
	"github.com/fernwerk/fernwerk/internal/ctl/tunnels"
	"github.com/fernwerk/fernwerk/internal/ctl/updates"
)

// OS is the real surroundings.
func OS(version string) tool.System {
	return tool.System{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Version: version}
}

// Arguments are those of a process, whose name may be opsi-admin.
func Arguments(argv []string) []string {
	if len(argv) > 0 && strings.TrimSuffix(filepath.Base(argv[0]), ".exe") == service.OpsiAdmin {
		return append([]string{service.OpsiAdmin}, argv[1:]...)
	}
	return argv[min(1, len(argv)):]
}

// Run runs one command. Its error has the exit code and, where there is a next
// step, the hint, as kit/run reports them.
func Run(ctx context.Context, sys tool.System, args []string) error {
	return execute(ctx, tool.New(sys), args)
}

func execute(ctx context.Context, t *tool.Tool, args []string) error {
	root := root(t)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	t.Close()
	return tool.Presentable(err)
}

func root(t *tool.Tool) *cobra.Command {
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
		Version:       t.Version,
	}
	t.AddFlags(root)
	root.SetVersionTemplate("fernwerk {{.Version}}\n")
	root.SetOut(t.Out)
	root.SetErr(t.Err)
	root.SetIn(t.In)
	root.SetFlagErrorFunc(tool.FlagError)
	root.AddCommand(login.Commands(t)...)
	root.AddCommand(service.Commands(t)...)
	root.AddCommand(hosts.Commands(t)...)
	root.AddCommand(tokens.Commands(t)...)
	root.AddCommand(groups.Commands(t)...)
	root.AddCommand(nodes.Commands(t)...)
	root.AddCommand(nodefiles.Commands(t)...)
	root.AddCommand(tunnels.Commands(t)...)
	root.AddCommand(mesh.Command(t))
	root.AddCommand(accounts.Commands(t)...)
	root.AddCommand(audit.Command(t))
	root.AddCommand(params.Commands(t)...)
	root.AddCommand(licences.Commands(t)...)
	root.AddCommand(resources.Commands(t)...)
	root.AddCommand(products.Commands(t)...)
	root.AddCommand(depots.Commands(t)...)
	root.AddCommand(feeds.Commands(t)...)
	root.AddCommand(updates.Commands(t)...)
	root.AddCommand(trust.Command(t))
	root.AddCommand(dev.Command(t), docsCommand(t))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	group(root)
	t.Complete(root)
	return root
}

// group makes every command that only holds others behave as one.
func group(c *cobra.Command) {
	if !c.HasSubCommands() {
		return
	}
	tool.Group(c)
	for _, sub := range c.Commands() {
		group(sub)
	}
}
