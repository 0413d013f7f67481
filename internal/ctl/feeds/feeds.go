// Package feeds makes and publishes the update script for bare nodes.
//
// All but publishing happens in one folder, on a machine that need not reach the
// server, and that keeps the key:
//
//	feed.key    the key, locked with a passphrase
//	key.asc     its public half, which nodes pin
//	feed.json   site, folder of markers
//	feed.sh     what was rendered, to be read before it is signed
//	script.asc  what was signed last; its serial is where the next one goes on
package feeds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/feed"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// The files of the folder.
const (
	keyFile      = "feed.key"
	updatesDir   = "updates"
	publicFile   = "key.asc"
	settingsFile = "feed.json"
	renderedFile = "feed.sh"
	signedFile   = "script.asc"
)

// settings are feed.json.
type settings struct {
	Site    string `json:"site"`
	Markers string `json:"markers"`
}

// Commands is feed.
func Commands(t *tool.Tool) []*cobra.Command {
	f := command{t}
	c := &cobra.Command{
		Use: "feed", Short: "The signed update script for nodes without an agent",
		Long: `The signed update script for nodes without an agent.

Nodes with only wget, gpg, sh and openssl fetch one clear-signed script from the
server, and run what is new in it, each update once. The script is made and signed
in a folder on a machine of yours; the server only keeps and shows it.`,
	}
	c.AddCommand(f.initCommand(), f.renderCommand(), f.signCommand(), f.publishCommand(), f.statusCommand(), f.nodeFilesCommand())
	return []*cobra.Command{c}
}

func (t command) initCommand() *cobra.Command {
	var s settings
	var passphraseFile string
	c := &cobra.Command{
		Use: "init DIR", Args: tool.Args,
		Short: "Make a feed's folder and its key",
		Long: `Make a feed's folder and its key (OpenPGP version 4, Ed25519), locked with a
passphrase. Nodes pin this key at their first boot and never fetch another: keep the
folder off the server, and a copy of it in a safe.`,
		Example: "  fernwerk feed init ./feed --site idhal",
		RunE:    func(c *cobra.Command, given []string) error { return t.init(given[0], s, passphraseFile) },
	}
	c.Flags().StringVar(&s.Site, "site", "", "whose feed it is: a short word or a domain; nodes may insist on it")
	c.Flags().StringVar(&s.Markers, "markers", feed.Markers, "folder of the markers on the nodes")
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "a file whose first line is the passphrase (default: it is asked for)")
	return c
}

func (t command) init(dir string, s settings, passphraseFile string) error {
	// Rendering nothing checks the settings.
	if _, err := (feed.Script{Header: feed.Header{Site: s.Site, Serial: 1, Expires: time.Now()}, Markers: s.Markers}).Render(); err != nil {
		return fleet.WithHint(err, "name the site: fernwerk feed init %s --site NAME", dir)
	}
	if _, err := os.Lstat(filepath.Join(dir, keyFile)); !errors.Is(err, fs.ErrNotExist) {
		return fleet.Errorf(fleet.Exists, "cannot make a feed in %s: there is one", dir)
	}
	passphrase, err := t.passphrase(passphraseFile, true)
	if err != nil {
		return err
	}
	key, err := feed.NewKey(s.Site, time.Now())
	if err != nil {
		return err
	}
	sealed, err := key.Seal(passphrase)
	if err != nil {
		return err
	}
	public, err := key.Public().Print()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, updatesDir), 0o700); err != nil {
		return fmt.Errorf("cannot make the feed's folder: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
		mode fs.FileMode
	}{{settingsFile, append(text, '\n'), 0o644}, {publicFile, public, 0o644}, {keyFile, sealed, 0o600}} {
		if err := atomicfile.WriteFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return err
		}
	}
	if t.JSON {
		return t.WriteJSON(map[string]any{"dir": dir, "site": s.Site, "fingerprint": key.Public().Fingerprint()})
	}
	fmt.Fprintf(t.Out, "key          %s\nfingerprint  %s\n", filepath.Join(dir, keyFile), key.Public().Fingerprint())
	return nil
}

// passphrase is read from a file, or asked for; twice where it is new.
func (t command) passphrase(file string, twice bool) (string, error) {
	if file != "" {
		text, err := readSmall(file, 4<<10)
		if err != nil {
			return "", err
		}
		line := firstLine(text)
		if line == "" {
			return "", fleet.Errorf(fleet.Invalid, "cannot take the passphrase: the first line of %s is empty", file)
		}
		return line, nil
	}
	if t.Person() == nil {
		return "", fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot ask for the passphrase of the feed's key: this is no terminal"), "use --passphrase-file FILE")
	}
	first, err := t.AskSecret("Passphrase of the feed's key: ")
	if err != nil || !twice {
		return first, err
	}
	again, err := t.AskSecret("Again: ")
	if err == nil && first != again {
		err = fleet.Errorf(fleet.Invalid, "the two are not the same")
	}
	if err == nil && first == "" {
		err = fleet.Errorf(fleet.Invalid, "the passphrase is empty")
	}
	return first, err
}

func load(dir string) (s settings, key *feed.PublicKey, err error) {
	text, err := readSmall(filepath.Join(dir, settingsFile), 64<<10)
	if err != nil {
		return s, nil, fleet.WithHint(err, "make a feed: fernwerk feed init %s --site NAME", dir)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, nil, fmt.Errorf("cannot read %s: %w", filepath.Join(dir, settingsFile), err)
	}
	public, err := readSmall(filepath.Join(dir, publicFile), feed.MaxKey)
	if err != nil {
		return s, nil, err
	}
	key, err = feed.ReadKey(public)
	return s, key, err
}

// signed is the script that was signed last; ok is false if there is none.
func signed(dir string, key *feed.PublicKey) (file []byte, s feed.Signed, ok bool, err error) {
	file, err = readSmall(filepath.Join(dir, signedFile), feed.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s, false, nil
	}
	if err == nil {
		s, err = key.Open(file)
	}
	return file, s, err == nil, err
}

func (t command) publishCommand() *cobra.Command {
	var replace bool
	var w tool.Writing
	c := &cobra.Command{
		Use: "publish DIR", Args: tool.Args,
		Short: "Give the signed script to the server, which shows it to the nodes",
		RunE:  func(c *cobra.Command, given []string) error { return t.publish(c.Context(), given[0], replace, w) },
	}
	c.Flags().BoolVar(&replace, "replace-key", false, "the server shall have this key in place of another; nodes that pinned the other take nothing more")
	w.Add(c)
	return c
}

func (t command) publish(ctx context.Context, dir string, replace bool, w tool.Writing) error {
	_, key, err := load(dir)
	if err != nil {
		return err
	}
	file, s, ok, err := signed(dir, key)
	if err != nil {
		return err
	}
	if !ok {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot publish the feed: nothing is signed in %s", dir), "fernwerk feed render, then fernwerk feed sign")
	}
	what := fmt.Sprintf("publish serial %d of site %s, good until %s", s.Serial, s.Site, s.Expires.Format(time.DateOnly))
	if w.DryRun {
		return t.result(map[string]any{"serial": s.Serial, "site": s.Site, "fingerprint": key.Fingerprint()}, "would "+what)
	}
	if err := t.Confirm(w.Yes, what); err != nil {
		return err
	}
	public, err := key.Print()
	if err != nil {
		return err
	}
	state, err := t.Call(ctx, "feed_publish", string(file), string(public), replace)
	if err != nil {
		return err
	}
	return t.result(state, fmt.Sprintf("serial %d is published", s.Serial))
}

// result shows what was done.
func (t command) result(v any, text string) error {
	if t.JSON {
		return t.WriteJSON(v)
	}
	_, err := fmt.Fprintln(t.Out, text)
	return err
}

func (t command) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Args: tool.Args,
		Short: "Show what the server shows to bare nodes, and the key's fingerprint",
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := t.Call(c.Context(), "feed_getState")
			if err != nil {
				return err
			}
			row, _ := v.(map[string]any)
			if t.JSON {
				return t.WriteJSON(row)
			}
			return t.Sheet(fleet.Row(row), []string{"site", "serial", "expires", "fingerprint", "sha256", "published"})
		},
	}
}
