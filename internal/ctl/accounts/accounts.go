// Package accounts is the people who may log in: their roles, the host groups
// that they are bound to, passwords and one-time codes.
package accounts

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is user.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	user := &cobra.Command{Use: "user", Short: "People who may log in: accounts, roles, passwords, one-time codes"}
	totp := &cobra.Command{Use: "totp", Short: "One-time codes besides the password: on, confirm, off"}
	totp.AddCommand(c.onCommand(), c.confirmCommand(), c.offCommand())
	user.AddCommand(c.listCommand(), c.createCommand(), c.deleteCommand(), c.roleCommand(), c.passwdCommand(), totp)
	return []*cobra.Command{user}
}

// roles are those of people.
var roles = []string{"administrator", "operator", "reader"}

func (t command) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List the accounts",
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := rpc.As[[]any](t.Call(c.Context(), "account_list"))
			if err != nil {
				return err
			}
			rows := make([]fleet.Row, len(v))
			for i, e := range v {
				rows[i], _ = e.(map[string]any)
			}
			return t.List(rows, "no accounts", "user=name", "role", "groups", "one-time code=codes", "last login=lastLogin")
		},
	}
}

func (t command) createCommand() *cobra.Command {
	var role, file string
	var groups []string
	var dry bool
	c := &cobra.Command{
		Use: "create NAME", Args: tool.Args,
		Short: "Make an account",
		Long: `Make an account. Without --new-password-file a password is made and shown once.

An operator does everyday work, a reader looks. With --group each is bound to the
hosts in these host groups and in all groups below them; without, the whole fleet
is meant.`,
		Example: `  fernwerk user create berta --role operator --group branch-north
  fernwerk user create carl --role reader`,
		RunE: func(c *cobra.Command, given []string) error {
			if err := tool.OneOf(c, "role", role, roles); err != nil {
				return err
			}
			password, err := t.newPassword(file)
			if err != nil {
				return err
			}
			if dry {
				return t.Say(map[string]any{"name": given[0], "role": role, "groups": groups, "dryRun": true}, "would make the account %s: %s", given[0], role)
			}
			made, err := rpc.As[map[string]any](t.Call(c.Context(), "account_create", given[0], role, groups, password))
			if err != nil {
				return err
			}
			return t.sayPassword(made, fmt.Sprintf("made the account %v: %s", made["name"], role))
		},
	}
	c.Flags().StringVar(&role, "role", "reader", "administrator, operator or reader")
	c.Flags().StringSliceVar(&groups, "group", nil, "a host group that the account is bound to, or several")
	c.Flags().StringVar(&file, "new-password-file", "", "a file whose first line is the password; - is standard input")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	return c
}

// sayPassword tells what was done, and a password that was made.
func (t command) sayPassword(made map[string]any, done string) error {
	if made["password"] != nil {
		done += fmt.Sprintf("\npassword: %v", made["password"])
	}
	if t.JSON {
		return t.WriteJSON(made)
	}
	if made["password"] != nil || !t.Quiet { // a password that nobody is told is lost
		fmt.Fprintln(t.Out, done)
	}
	return nil
}

func (t command) deleteCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "delete USER", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Take an account away; its sessions end",
		RunE: func(c *cobra.Command, given []string) error {
			if w.DryRun {
				return t.Say(map[string]any{"deleted": given[0], "dryRun": true}, "would take away the account %s", given[0])
			}
			if err := t.Confirm(w.Yes, "take away the account "+given[0]); err != nil {
				return err
			}
			if _, err := t.Call(c.Context(), "account_delete", given[0]); err != nil {
				return err
			}
			return t.Say(map[string]any{"deleted": given[0]}, "took away the account %s", given[0])
		},
	}
	w.Add(c)
	return c
}

func (t command) roleCommand() *cobra.Command {
	var groups []string
	var dry bool
	c := &cobra.Command{
		Use: "role USER ROLE", Args: tool.Args, ValidArgs: roles,
		Short:   "Give an account another role, and bind it to groups or to none",
		Example: "  fernwerk user role berta operator --group branch-north --group branch-south",
		RunE: func(c *cobra.Command, given []string) error {
			if err := tool.OneOf(c, "role", given[1], roles); err != nil {
				return err
			}
			words := given[1]
			if len(groups) > 0 {
				words = fmt.Sprintf("%s of %v", words, groups)
			}
			if dry {
				return t.Say(map[string]any{"changed": given[0], "role": given[1], "groups": groups, "dryRun": true}, "would make %s %s", given[0], words)
			}
			if _, err := t.Call(c.Context(), "account_setRole", given[0], given[1], groups); err != nil {
				return err
			}
			return t.Say(map[string]any{"changed": given[0], "role": given[1], "groups": groups}, "%s is now %s", given[0], words)
		},
	}
	c.Flags().StringSliceVar(&groups, "group", nil, "a host group that the account is bound to, or several; none is the whole fleet")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	return c
}

// own is the caller's own name, "" at a server that does not say.
func (t command) own(ctx context.Context) (string, error) {
	self, err := rpc.As[map[string]any](t.Call(ctx, "account_self"))
	if err != nil {
		return "", err
	}
	return fmt.Sprint(self["name"]), nil
}
