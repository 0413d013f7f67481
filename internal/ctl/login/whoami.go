package login

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

func (t command) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Tell the account and the server, as the server sees it",
		Args:  tool.Args,
		RunE:  func(c *cobra.Command, _ []string) error { return t.whoami(c.Context()) },
	}
}

func (t command) whoami(ctx context.Context) error {
	admin, err := rpc.As[bool](t.Call(ctx, "accessControl_userIsAdmin"))
	if err != nil {
		return err
	}
	a, err := t.Source.Account()
	if err != nil {
		return err
	}
	kind := "not an administrator"
	if admin {
		kind = "an administrator"
	}
	return t.Say(map[string]any{"server": a.Server, "user": a.User, "administrator": admin}, "%s, %s of %s", a.User, kind, a.Server)
}
