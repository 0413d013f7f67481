package accounts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxSecret bounds a password file, in bytes.
const maxSecret = 4 << 10

func (t command) passwdCommand() *cobra.Command {
	var file string
	var made bool
	c := &cobra.Command{
		Use: "passwd [USER]", Args: tool.Args,
		Short: "Change a password: the own one, or as an administrator another's",
		Long: `Change a password: the own one, for which the old one is needed, or as an
administrator another's. The sessions of the account end. The new password is
asked for, or comes from --new-password-file, or is made and shown with --make.`,
		RunE: func(c *cobra.Command, given []string) error {
			return t.passwd(c.Context(), strings.ToLower(append(given, "")[0]), file, made)
		},
	}
	c.Flags().StringVar(&file, "new-password-file", "", "a file whose first line is the password; - is standard input")
	c.Flags().BoolVar(&made, "make", false, "have a password made, and show it")
	c.MarkFlagsMutuallyExclusive("new-password-file", "make")
	return c
}

func (t command) passwd(ctx context.Context, name, file string, made bool) error {
	self, err := t.own(ctx)
	if err != nil {
		return err
	}
	conn, err := t.Server(ctx)
	if err != nil {
		return err
	}
	old := ""
	if name == "" || name == self {
		name = self
		if old, err = t.oldPassword(); err != nil {
			return err
		}
	}
	password, err := t.newPassword(file)
	if err != nil {
		return err
	}
	if password == "" && !made {
		if password, err = t.askTwice(name); err != nil {
			return err
		}
	}
	answer, err := rpc.As[map[string]any](t.Call(ctx, "account_setPassword", name, password, old))
	if err != nil {
		return err
	}
	if name == self {
		if p, ok := answer["password"].(string); ok {
			password = p
		}
		if err := t.Source.SetPassword(conn.Account, password); err != nil {
			return err
		}
	}
	return t.sayPassword(answer, "changed the password of "+name)
}

// oldPassword is the one that we log in with, or is asked for.
func (t command) oldPassword() (string, error) {
	if a := t.Connection().Account; a.HasPassword && a.Password != "" {
		return a.Password, nil
	}
	return t.AskSecret("Present password: ")
}

func (t command) askTwice(name string) (string, error) {
	first, err := t.AskSecret("New password of " + name + ": ")
	if err != nil {
		return "", fleet.WithHint(err, "use --new-password-file FILE, or --make")
	}
	second, err := t.AskSecret("Once more: ")
	if err == nil && first != second {
		err = fleet.Errorf(fleet.Invalid, "cannot change the password: the two differ")
	}
	return first, err
}

// newPassword is the first line of a file; "" names none.
func (t command) newPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	in := t.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("cannot read the new password: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	line, _, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case err == nil && len(data) > maxSecret:
		err = errors.New("it is too long")
	case err == nil && line == "":
		err = errors.New("the first line is empty")
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the new password from %s: %w", file, err)
	}
	return line, nil
}
