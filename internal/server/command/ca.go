package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/agefile"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// leastPassphrase is the fewest characters for the root's key.
const leastPassphrase = 10

func authority() *cobra.Command {
	c := &cobra.Command{
		Use:   "ca",
		Short: "Look after the certificate authority",
		Args:  noCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(caStatus(), caTakeOffline(), caRotate(), caForget())
	return c
}

// onAuthority opens the authority for one command.
func onAuthority(c *cobra.Command, o *options, fn func(context.Context, *server.Authority, keyring.Bundle) error) (err error) {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	a, err := server.OpenAuthority(c.Context(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	b, err := a.Bundle(c.Context())
	if err != nil {
		return err
	}
	return fn(c.Context(), a, b)
}

func caStatus() *cobra.Command {
	var o options
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show roots and issuing keys, until when they count, and where the root's key is",
		Args:  arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return onAuthority(c, &o, func(_ context.Context, a *server.Authority, b keyring.Bundle) error {
				s, err := b.Status()
				if err != nil {
					return err
				}
				served, err := a.Served()
				if err != nil {
					return err
				}
				return tell(c.OutOrStdout(), asJSON, struct {
					*keyring.Status
					Server *keyring.Known `json:"server,omitempty"`
				}{s, served}, describe(s, served))
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	o.define(c)
	return c
}

// describe is the status for people: most of it is read aloud, compared, or pasted.
func describe(s *keyring.Status, served *keyring.Known) string {
	var b strings.Builder
	one := func(what string, k keyring.Known, more string) {
		fmt.Fprintf(&b, "%-14s %s%s\n%14s SHA-256 %s\n%14s serial  %s, until %s\n", what, k.Name, more, "", k.Fingerprint, "", k.Serial, k.NotAfter.Format(time.DateOnly))
	}
	where := map[string]string{keyring.Here: ", its key is on this server", keyring.Away: ", its key was taken offline", keyring.Elsewhere: ", its key is not here"}
	one("root", s.Root, where[s.Root.Key])
	for _, k := range s.Earlier {
		one("earlier root", k, "")
	}
	for i, k := range s.Issuing {
		if i == 0 {
			one("issuing key", k, ", signs now")
		} else {
			one("issuing key", k, ", what it signed counts until it ends")
		}
	}
	if served != nil {
		one("server", *served, "")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func caTakeOffline() *cobra.Command {
	var o options
	var asJSON bool
	c := &cobra.Command{
		Use:   "take-offline FILE",
		Short: "Move the root's private key into a file sealed with a passphrase",
		Long: `Move the root's private key into FILE, sealed with a passphrase (format age: age -d
opens it as well), and off this server. The file is read back and opened before
the key here is removed. The server goes on without it: only rotate needs the
key. Of several servers on one database it is taken from all. Backups that were
made before hold the key still. The passphrase is asked for, or is the first line
of standard input. An interrupted command is run again with the same FILE.`,
		Example: `  fernwerkd ca take-offline /media/stick/fernwerk-root.age`,
		Args:    arguments,
		RunE: func(c *cobra.Command, args []string) error {
			return onAuthority(c, &o, func(ctx context.Context, a *server.Authority, b keyring.Bundle) error {
				if err := a.Outside(args[0]); err != nil {
					return err
				}
				alone, without, err := b.TakeRootKey()
				if err != nil {
					return err
				}
				passphrase, err := askPassphrase(c, "Passphrase for the root's key: ", !exists(args[0]))
				if err != nil {
					return err
				}
				if err := sealInto(args[0], alone, passphrase); err != nil {
					return err
				}
				if err := a.Replace(ctx, b, without); err != nil {
					return err
				}
				s, err := without.Status()
				if err != nil {
					return err
				}
				return tell(c.OutOrStdout(), asJSON, s, "the root's key is in "+args[0]+", and no more on this server; keep a second copy of the file")
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the authority's status as JSON")
	o.define(c)
	return c
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// sealInto makes a file with a root and its key, and does not end before it opens
// again. A file that is there already must hold just that.
func sealInto(path string, root keyring.Bundle, passphrase string) error {
	if !exists(path) {
		text, err := agefile.Keeper{}.Seal(root, passphrase)
		if err != nil {
			return err
		}
		if err := atomicfile.WriteFile(path, text, 0o600); err != nil {
			return fmt.Errorf("cannot keep the root's key: %w", err)
		}
	}
	back, err := unseal(path, passphrase)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, root) {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot keep the root's key in %s: the file holds something else", path), "name a file that is not there yet")
	}
	return nil
}

func unseal(path, passphrase string) (keyring.Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the root's key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4*agefile.MaxSecret))
	if err != nil {
		return nil, fmt.Errorf("cannot read the root's key: %w", err)
	}
	secret, err := agefile.Open(text, passphrase)
	if errors.Is(err, agefile.ErrPassphrase) {
		return nil, fleet.Errorf(fleet.Denied, "cannot open %s: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	return secret, nil
}

func caRotate() *cobra.Command {
	var o options
	var root, asJSON bool
	var rootKey, newRootKey string
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new issuing key, or a new root",
		Long: `Make a new issuing key; with --root also a new root, for which the present one
vouches. Nothing has to be done at any host: certificates that were made before
count until they expire, hosts take the new root with their next contact, and
clients that know the old one only are shown how it vouches for the new one. A
server that runs has the new key within half a minute.

If the root's key was taken offline, --root-key names its file. A new root's key
stays on the server then, unless --new-root-key names a file for it, which gets
the same passphrase. The passphrase is asked for, or is the first line of standard
input.`,
		Example: `  fernwerkd ca rotate
  fernwerkd ca rotate --root-key /media/stick/fernwerk-root.age
  fernwerkd ca rotate --root --root-key old-root.age --new-root-key new-root.age`,
		Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if newRootKey != "" && !root {
				return &usage{errors.New("--new-root-key goes with --root"), c.CommandPath()}
			}
			return onAuthority(c, &o, func(ctx context.Context, a *server.Authority, b keyring.Bundle) error {
				next, err := rotate(c, a, b, keyring.Rotation{Root: root}, rootKey, newRootKey)
				if err != nil {
					return err
				}
				s, err := become(ctx, a, b, next)
				if err != nil {
					return err
				}
				text := describe(s, nil)
				if root && newRootKey == "" {
					text += "\nthe new root's key is on this server: fernwerkd ca take-offline FILE keeps it elsewhere"
				}
				return tell(c.OutOrStdout(), asJSON, s, text)
			})
		},
	}
	c.Flags().BoolVar(&root, "root", false, "make a new root, too")
	c.Flags().StringVar(&rootKey, "root-key", "", "`FILE` with the root's key, that take-offline wrote")
	c.Flags().StringVar(&newRootKey, "new-root-key", "", "`FILE` to seal the new root's key into")
	c.Flags().BoolVar(&asJSON, "json", false, "print the authority's status as JSON")
	o.define(c)
	return c
}

// become makes next of what was, and says how it stands then.
func become(ctx context.Context, a *server.Authority, was, next keyring.Bundle) (*keyring.Status, error) {
	if err := a.Replace(ctx, was, next); err != nil {
		return nil, err
	}
	return next.Status()
}

// rotate makes the next state. Key files are opened and written before anything
// changes: a new root's file that was written for nothing is no root of anybody.
func rotate(c *cobra.Command, a *server.Authority, b keyring.Bundle, r keyring.Rotation, rootKey, newRootKey string) (keyring.Bundle, error) {
	if newRootKey != "" {
		if err := a.Outside(newRootKey); err != nil {
			return nil, err
		}
		if exists(newRootKey) {
			return nil, fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot keep the root's key in %s: the file is there already", newRootKey), "name a file that is not there yet")
		}
	}
	passphrase := ""
	if rootKey != "" || newRootKey != "" {
		var err error
		if passphrase, err = askPassphrase(c, "Passphrase of the root's key: ", rootKey == ""); err != nil {
			return nil, err
		}
	}
	if rootKey != "" {
		var err error
		if r.RootKey, err = unseal(rootKey, passphrase); err != nil {
			return nil, err
		}
	}
	if newRootKey != "" {
		r.Apart = func(root keyring.Bundle) error { return sealInto(newRootKey, root, passphrase) }
	}
	return b.Rotate(r, time.Now())
}

func caForget() *cobra.Command {
	var o options
	var asJSON bool
	c := &cobra.Command{
		Use:   "forget FINGERPRINT",
		Short: "Forget an earlier root or issuing key",
		Long: `Forget an earlier root: hosts are told to believe it no more, and who knows nothing
else finds the server no more. Wait until every host has been in contact since
the rotation, and no depot server's ca_fingerprint names it. Or forget an earlier
issuing key: certificates that it signed open nothing any more; hosts renew theirs
within 60 days, depot servers within 8 months. Of a key that others may have, do
not wait.`,
		Args: arguments,
		RunE: func(c *cobra.Command, args []string) error {
			return onAuthority(c, &o, func(ctx context.Context, a *server.Authority, b keyring.Bundle) error {
				next, err := b.Forget(args[0])
				if err != nil {
					return err
				}
				s, err := become(ctx, a, b, next)
				if err != nil {
					return err
				}
				return tell(c.OutOrStdout(), asJSON, s, describe(s, nil))
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the authority's status as JSON")
	o.define(c)
	return c
}

// askPassphrase asks a person, twice where it is a new one, or reads a line.
func askPassphrase(c *cobra.Command, question string, made bool) (string, error) {
	in := c.InOrStdin()
	f, ok := in.(*os.File)
	var typed string
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, 4<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("cannot read the passphrase: %w", err)
		}
		typed = strings.TrimRight(line, "\r\n")
	} else {
		questions := []string{question}
		if made {
			questions = append(questions, "Once more: ")
		}
		for i, q := range questions {
			fmt.Fprint(c.ErrOrStderr(), q)
			secret, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(c.ErrOrStderr())
			if err != nil {
				return "", fmt.Errorf("cannot read the passphrase: %w", err)
			}
			if i > 0 && typed != string(secret) {
				return "", fleet.Errorf(fleet.Invalid, "cannot take the passphrase: the two differ")
			}
			typed = string(secret)
		}
	}
	if made && len([]rune(typed)) < leastPassphrase {
		return "", fleet.Errorf(fleet.Invalid, "cannot take the passphrase: it has fewer than %d characters", leastPassphrase)
	}
	return typed, nil
}
