package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/access"
)

// passwd works on the data folder of a server that is stopped. Whoever may
// write there owns the server already, so nothing else is asked of him.
func passwd() *cobra.Command {
	var o options
	var role string
	var remove, noCodes bool
	c := &cobra.Command{
		Use:   "passwd USER",
		Short: "Set a password, add or remove an account, while the server is stopped",
		Long: `Set the password of an account. The server must be stopped meanwhile. With
--role the account gets that role, and is made if it is not there. The password
is asked for, or is the first line of standard input; if that is empty, one is
made and printed. --no-codes is for somebody who lost the authenticator: a login
takes no one-time code any more.`,
		Example: `  fernwerkd passwd admin
  fernwerkd passwd --role operator berta
  fernwerkd passwd --remove berta
  fernwerkd passwd --no-codes berta`,
		Args: arguments,
		RunE: func(c *cobra.Command, args []string) error {
			if (remove || noCodes) && role != "" || remove && noCodes {
				return &usage{errors.New("--remove, --no-codes and --role do not go together"), c.CommandPath()}
			}
			cfg, err := o.config()
			if err != nil {
				return err
			}
			name := strings.ToLower(args[0])
			if remove {
				err := server.Accounts(c.Context(), cfg, func(a *access.Access) error { return a.RemoveAccount(c.Context(), name) })
				if err == nil {
					fmt.Fprintf(c.OutOrStdout(), "account %s is removed\n", name)
				}
				return err
			}
			if noCodes {
				err := server.Accounts(c.Context(), cfg, func(a *access.Access) error { return a.RemoveCodes(c.Context(), name) })
				if err == nil {
					fmt.Fprintf(c.OutOrStdout(), "a login as %s takes no one-time code\n", name)
				}
				return err
			}
			return server.Accounts(c.Context(), cfg, func(a *access.Access) error {
				given, err := newPassword(c.InOrStdin(), c.ErrOrStderr(), name)
				if err != nil {
					return err
				}
				password, err := a.SetPassword(c.Context(), name, methods.Role(role), given)
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "password of %s is set\n", name)
				if given == "" {
					fmt.Fprintln(c.OutOrStdout(), "password:", password)
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&role, "role", "", "`ROLE` of the account: administrator, operator or reader")
	c.Flags().BoolVar(&remove, "remove", false, "remove the account")
	c.Flags().BoolVar(&noCodes, "no-codes", false, "turn one-time codes off")
	o.define(c)
	return c
}

// newPassword asks a person twice, or reads a line.
func newPassword(in io.Reader, ask io.Writer, name string) (string, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, 4<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("cannot read the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	var typed [2]string
	for i, question := range []string{"New password of " + name + " (nothing: one is made): ", "Once more: "} {
		fmt.Fprint(ask, question)
		secret, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(ask)
		if err != nil {
			return "", fmt.Errorf("cannot read the password: %w", err)
		}
		if typed[i] = string(secret); typed[i] == "" {
			break
		}
	}
	if typed[0] != typed[1] {
		return "", fleet.Errorf(fleet.Invalid, "cannot set the password: the two differ")
	}
	return typed[0], nil
}
