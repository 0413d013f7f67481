package ctl

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
)

func (t *tool) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Tell the account and the server, as the server sees it",
		Args:  args,
		RunE:  func(c *cobra.Command, _ []string) error { return t.whoami(c.Context()) },
	}
}

func (t *tool) whoami(ctx context.Context) error {
	admin, err := rpc.As[bool](t.call(ctx, "accessControl_userIsAdmin"))
	if err != nil {
		return err
	}
	a, err := t.source.Account()
	if err != nil {
		return err
	}
	kind := "not an administrator"
	if admin {
		kind = "an administrator"
	}
	return t.Say(map[string]any{"server": a.Server, "user": a.User, "administrator": admin}, "%s, %s of %s", a.User, kind, a.Server)
}
