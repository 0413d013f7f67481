package accounts

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func (t command) onCommand() *cobra.Command {
	return &cobra.Command{
		Use: "on", Args: tool.Args,
		Short: "Ask for a one-time code at each login to the own account",
		Long: `Ask for a one-time code at each login to the own account (RFC 6238, as
authenticator programs make them). The secret is shown once, on a terminal also
as a picture to scan. It counts when a code of it was confirmed.

For somebody who lost the authenticator an administrator turns codes off with
"fernwerk user totp off USER"; on the server, "fernwerkd passwd --no-codes USER".`,
		RunE: func(c *cobra.Command, _ []string) error { return t.on(c.Context()) },
	}
}

func (t command) on(ctx context.Context) error {
	if _, err := t.Server(ctx); err != nil {
		return err
	}
	password, err := t.oldPassword()
	if err != nil {
		return err
	}
	begun, err := rpc.As[map[string]any](t.Call(ctx, "account_beginTotp", password))
	if err != nil {
		return err
	}
	if t.JSON {
		return t.WriteJSON(begun)
	}
	uri := fmt.Sprint(begun["uri"])
	if term.IsTerminal(t.Out) {
		if err := console.Picture(t.Out, uri); err != nil {
			return err
		}
	}
	fmt.Fprintf(t.Out, "secret: %s\n%s\n", term.Clean(fmt.Sprint(begun["secret"])), term.Clean(uri))
	if t.Person() == nil {
		t.Remark("nothing is asked for yet: confirm with: fernwerk user totp confirm CODE")
		return nil
	}
	code, err := t.Ask("Code that the authenticator shows: ")
	if err != nil {
		return err
	}
	return t.confirm(ctx, code)
}

func (t command) confirmCommand() *cobra.Command {
	return &cobra.Command{
		Use: "confirm CODE", Args: tool.Args,
		Short: "Confirm the secret of \"totp on\" with a code that it makes",
		RunE:  func(c *cobra.Command, given []string) error { return t.confirm(c.Context(), given[0]) },
	}
}

func (t command) confirm(ctx context.Context, code string) error {
	if _, err := t.Call(ctx, "account_confirmTotp", strings.ReplaceAll(code, " ", "")); err != nil {
		return err
	}
	return t.Say(map[string]any{"codes": true}, "from now on a login takes a one-time code; log in again with: fernwerk login")
}

func (t command) offCommand() *cobra.Command {
	return &cobra.Command{
		Use: "off [USER]", Args: tool.Args,
		Short: "Ask for no one-time codes any more: for the own account, or as an administrator for another's",
		RunE: func(c *cobra.Command, given []string) error {
			self, err := t.own(c.Context())
			if err != nil {
				return err
			}
			if _, err := t.Server(c.Context()); err != nil {
				return err
			}
			name, password := strings.ToLower(append(given, self)[0]), ""
			if name == self {
				if password, err = t.oldPassword(); err != nil {
					return err
				}
			}
			if _, err := t.Call(c.Context(), "account_removeTotp", name, password); err != nil {
				return err
			}
			return t.Say(map[string]any{"codes": false, "user": name}, "a login as %s takes no one-time code", name)
		},
	}
}
