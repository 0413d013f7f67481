package login

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) loginCommand() *cobra.Command {
	var fingerprint string
	c := &cobra.Command{
		Use:   "login [URL]",
		Short: "Log in to a server and keep the login",
		Long: `Log in to a server and keep the login for later commands.

The server must prove who it is: by a certificate that this system trusts, by
the CA in --ca FILE, or by a CA with the fingerprint in --ca-fingerprint. With
none of these the fingerprint is shown, and you are asked.

Where the account asks for a one-time code, so does this; then no password is
kept but a session, which ends when it rested for a working day.

The login, password included, is kept in fernwerk/login.json in your
configuration folder ($XDG_CONFIG_HOME), readable by you only, and becomes the
current context. --context names it; without that it is called as the server.`,
		Example: "  fernwerk login https://server.example.org:4447",
		Args:    tool.Args,
		RunE: func(c *cobra.Command, given []string) error {
			return t.login(c.Context(), append(given, "")[0], fingerprint)
		},
	}
	c.Flags().StringVar(&fingerprint, "ca-fingerprint", "", "SHA-256 of the server's CA certificate, in hexadecimal")
	return c
}

func (t command) login(ctx context.Context, server, fingerprint string) error {
	server = cmp.Or(server, t.Source.Flags.Server, t.Source.Getenv("FERNWERK_SERVER"))
	if server == "" {
		answer, err := t.Ask("Server (https://SERVER:4447): ")
		if err != nil {
			return &console.Misuse{Text: "cannot log in: no server is named", Next: "try: fernwerk login https://SERVER:4447"}
		}
		server = answer
	}
	name := t.Source.Flags.Context
	t.Source.Flags.Server, t.Source.Flags.Context, t.Source.Anew = server, "", true
	a, err := t.Source.Account()
	if err != nil {
		return err
	}
	if a.CA, err = t.Source.Believe(ctx, a.Server, a.CA, fingerprint); err != nil {
		return err
	}
	if a.User == "" && !session.Local(a.Server) {
		if a.User, err = t.Ask("User: "); err != nil {
			return &console.Misuse{Text: "cannot log in: no user is named", Next: "add --user NAME"}
		}
	}
	if a.User != "" && !a.HasPassword {
		if a.Password, err = t.AskSecret("Password of " + a.User + ": "); err != nil {
			return err
		}
	}
	conn, err := t.enter(ctx, a)
	if err != nil {
		return err
	}
	t.Use(conn)
	a = conn.Account
	name, path, err := t.Source.Save(name, a)
	if err != nil {
		return err
	}
	return t.Say(map[string]any{"server": a.Server, "user": a.User, "context": name, "file": path}, "logged in to %s as %s", a.Server, cmp.Or(a.User, "the owner of the socket"))
}

// enter logs in, and asks for a one-time code where the account wants one. What
// is kept of such an account is a session: its password alone opens nothing.
func (t command) enter(ctx context.Context, a session.Account) (*session.Connection, error) {
	a.ToKeep = true // the code may stand in the password
	conn, err := t.Source.Open(a)
	if err != nil {
		return nil, err
	}
	self, err := account(ctx, conn)
	if err != nil && strings.Contains(err.Error(), methods.CodeMissing) {
		if a.Code, err = t.Ask("One-time code: "); err != nil {
			return nil, fleet.WithHint(err, "append the code to the password")
		}
		if conn, err = t.Source.Open(a); err != nil {
			return nil, err
		}
		self, err = account(ctx, conn)
	}
	if err != nil {
		return nil, err
	}
	if self["codes"] == true {
		conn.Keep()
	}
	return conn, nil
}

// account is the caller's account as the server has it; on a server that has no
// such method it is empty.
func account(ctx context.Context, conn tool.Backend) (map[string]any, error) {
	v, err := conn.Call(ctx, methods.Actor{}, "account_self", methods.Params{})
	if code := fleet.CodeOf(err); code == fleet.NotFound || code == fleet.NotHere || code == fleet.Denied {
		_, err = rpc.As[bool](conn.Call(ctx, methods.Actor{}, "accessControl_authenticated", methods.Params{}))
	}
	self, _ := v.(map[string]any)
	return self, err
}
