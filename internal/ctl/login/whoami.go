package login

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/console"
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
	conn, err := t.Server(ctx)
	if err != nil {
		return err
	}
	self, err := account(ctx, conn)
	if err != nil {
		return err
	}
	a := conn.Account
	name, kind := a.User, "not an administrator"
	if self["name"] != nil {
		name = fmt.Sprint(self["name"])
	}
	role := fmt.Sprint(self["role"])
	switch groups, _ := self["groups"].([]any); {
	case admin:
		kind, role = "an administrator", "administrator"
	case len(groups) > 0:
		kind = role + " bound to " + console.Cell(groups)
	case self["role"] != nil:
		kind = role
	}
	return t.Say(map[string]any{"server": a.Server, "user": name, "administrator": admin, "role": role, "groups": self["groups"]},
		"%s, %s of %s", name, kind, a.Server)
}
