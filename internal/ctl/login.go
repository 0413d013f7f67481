package ctl

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
)

func (t *tool) loginCommand() *cobra.Command {
	var fingerprint string
	c := &cobra.Command{
		Use:   "login [URL]",
		Short: "Log in to a server and keep the login",
		Long: `Log in to a server and keep the login for later commands.

The server must prove who it is: by a certificate that this system trusts, by
the CA in --ca FILE, or by a CA with the fingerprint in --ca-fingerprint. With
none of these the fingerprint is shown, and you are asked.

The login, password included, is kept in fernwerk/login.json in your
configuration folder ($XDG_CONFIG_HOME), readable by you only.`,
		Example: "  fernwerk login https://server.example.org:4447",
		Args:    args,
		RunE: func(c *cobra.Command, given []string) error {
			return t.login(c.Context(), append(given, "")[0], fingerprint)
		},
	}
	c.Flags().StringVar(&fingerprint, "ca-fingerprint", "", "SHA-256 of the server's CA certificate, in hexadecimal")
	return c
}

func (t *tool) login(ctx context.Context, server, fingerprint string) error {
	server = cmp.Or(server, t.flags.server, t.Getenv("FERNWERK_SERVER"))
	if server == "" {
		answer, err := t.ask("Server (https://SERVER:4447): ")
		if err != nil {
			return &misuse{"cannot log in: no server is named", "try: fernwerk login https://SERVER:4447"}
		}
		server = answer
	}
	t.flags.server = server
	a, err := t.account()
	if err != nil {
		return err
	}
	if a.CA, err = t.believe(ctx, a.Server, a.CA, fingerprint); err != nil {
		return err
	}
	if a.User == "" && !local(a.Server) {
		if a.User, err = t.ask("User: "); err != nil {
			return &misuse{"cannot log in: no user is named", "add --user NAME"}
		}
	}
	if a.User != "" && !a.hasPassword {
		if a.Password, err = t.askSecret("Password of " + a.User + ": "); err != nil {
			return err
		}
	}
	conn, err := t.open(a)
	if err != nil {
		return err
	}
	t.conn = conn
	if _, err := rpc.As[bool](conn.Call(ctx, methods.Actor{}, "accessControl_authenticated", methods.Params{})); err != nil {
		return err
	}
	path, err := t.save(a.saved)
	if err != nil {
		return err
	}
	return t.say(map[string]any{"server": a.Server, "user": a.User, "file": path}, "logged in to %s as %s", a.Server, cmp.Or(a.User, "the owner of the socket"))
}
