package login

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/session"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
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
	conn, err := t.Source.Open(a)
	if err != nil {
		return err
	}
	t.Use(conn)
	if _, err := rpc.As[bool](conn.Call(ctx, methods.Actor{}, "accessControl_authenticated", methods.Params{})); err != nil {
		return err
	}
	name, path, err := t.Source.Save(name, a)
	if err != nil {
		return err
	}
	return t.Say(map[string]any{"server": a.Server, "user": a.User, "context": name, "file": path}, "logged in to %s as %s", a.Server, cmp.Or(a.User, "the owner of the socket"))
}
