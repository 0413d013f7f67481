package feeds

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/barenode"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/feed"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/shell"
)

// usualDays is how long a script may be used unless somebody says otherwise.
const usualDays = 60

// rendering are the flags of `feed render`.
type rendering struct {
	updates string
	days    int
	serial  int64
}

func (t command) renderCommand() *cobra.Command {
	var r rendering
	c := &cobra.Command{
		Use: "render DIR", Args: tool.Args,
		Short: "Make the script of the updates with audience feed or both",
		Long: `Make the script of the updates with audience feed or both, in the order of their
numbers, and write it to DIR/feed.sh. Read it before you sign it. An update may run
until the script as a whole has had its time on the node; the timeout in its header
counts for agents.`,
		Example: "  fernwerk feed render ./feed --updates ./updates --days 60",
		RunE:    func(c *cobra.Command, given []string) error { return t.render(given[0], r) },
	}
	c.Flags().StringVar(&r.updates, "updates", "", "the folder of updates, as fernwerk update new makes them (default DIR/updates)")
	c.Flags().IntVar(&r.days, "days", usualDays, "how many days from today the script may be used; sign a new one in time")
	c.Flags().Int64Var(&r.serial, "serial", 0, "the script's serial (default: one more than the one that was signed last)")
	return c
}

func (t command) render(dir string, r rendering) error {
	s, key, err := load(dir)
	if err != nil {
		return err
	}
	if r.days < 1 || r.days > 3650 {
		return fleet.Errorf(fleet.Invalid, "cannot render the feed: --days %d is not between 1 and 3650", r.days)
	}
	_, last, _, err := signed(dir, key)
	if err != nil {
		return err
	}
	serial := cmp.Or(r.serial, last.Serial+1)
	if serial <= last.Serial {
		return fleet.Errorf(fleet.Conflict, "cannot render the feed: serial %d was signed already, the last one is %d", serial, last.Serial)
	}
	updates, err := readUpdates(cmp.Or(r.updates, filepath.Join(dir, updatesDir)))
	if err != nil {
		return err
	}
	text, err := feed.Script{Header: feed.Header{Site: s.Site, Serial: serial, Expires: time.Now().UTC().AddDate(0, 0, r.days)}, Markers: s.Markers, Updates: updates}.Render()
	if err != nil {
		return err
	}
	if err := shell.CheckPOSIX(renderedFile, bytes.NewReader(text)); err != nil {
		return fmt.Errorf("cannot render the feed: %w", err)
	}
	out := filepath.Join(dir, renderedFile)
	if err := atomicfile.WriteFile(out, text, 0o644); err != nil {
		return err
	}
	var numbers []string
	for _, u := range updates {
		numbers = append(numbers, u.ID)
	}
	return t.result(map[string]any{"file": out, "serial": serial, "updates": numbers},
		fmt.Sprintf("%s: serial %d with updates %s", out, serial, cmp.Or(strings.Join(numbers, ", "), "none")))
}

// readUpdates reads the updates of a folder that are for bare nodes.
func readUpdates(dir string) (all []feed.Update, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the updates: %w", err)
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("cannot read the updates: %w", err)
	}
	var headers []update.Header
	for _, e := range entries {
		if !e.Type().IsRegular() || e.Name()[0] < '0' || e.Name()[0] > '9' {
			continue
		}
		text, err := readIn(root, e.Name(), update.MaxFile)
		if err != nil {
			return nil, err
		}
		f, err := update.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, e.Name()), err)
		}
		headers = append(headers, f.Header)
		u, ok, err := forNodes(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, e.Name()), err)
		}
		if ok {
			all = append(all, u)
		}
	}
	if err := update.Check(headers); err != nil {
		return nil, fmt.Errorf("cannot render the updates of %s: %w", dir, err)
	}
	return all, nil
}

// forNodes makes an update one of the feed; ok is false if it is for agents only.
func forNodes(f *update.File) (u feed.Update, ok bool, err error) {
	if f.Audience == update.Hosts || len(f.Platforms) > 0 && !slices.Contains(f.Platforms, "linux") {
		return u, false, nil
	}
	switch {
	case len(f.Groups) > 0 || len(f.NodeTypes) > 0:
		return u, false, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot put update %s into the feed: it is for some groups or node types, a feed reaches every node", update.Name(f.Number)), "give it the audience hosts, or leave groups and node-types out")
	case f.Suffix != "" && f.Suffix != ".sh":
		return u, false, fleet.Errorf(fleet.Invalid, "cannot put update %s into the feed: bare nodes run shell scripts, not %s", update.Name(f.Number), f.Suffix)
	}
	if err := shell.CheckPOSIX("update "+update.Name(f.Number), strings.NewReader(f.Body)); err != nil {
		return u, false, err // by itself: inside the feed it could end its block early
	}
	u = feed.Update{ID: update.Name(f.Number), Title: f.Title, Stop: f.OnFailure == update.Stop,
		Retry: f.OnInterrupt == update.Retry, Skip: f.OnInterrupt == update.Skip, Program: f.Interpreter + "\n" + f.Body}
	for _, n := range f.After {
		u.After = append(u.After, update.Name(n))
	}
	return u, true, nil
}

func (t command) signCommand() *cobra.Command {
	var passphraseFile string
	c := &cobra.Command{
		Use: "sign DIR", Args: tool.Args,
		Short: "Sign the rendered script with the feed's key",
		RunE:  func(c *cobra.Command, given []string) error { return t.sign(given[0], passphraseFile) },
	}
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "a file whose first line is the passphrase (default: it is asked for)")
	return c
}

func (t command) sign(dir, passphraseFile string) error {
	s, public, err := load(dir)
	if err != nil {
		return err
	}
	text, err := readSmall(filepath.Join(dir, renderedFile), feed.MaxFile)
	if err != nil {
		return fleet.WithHint(err, "render it first: fernwerk feed render %s", dir)
	}
	header, err := feed.ParseHeader(text)
	if err != nil {
		return err
	}
	_, last, _, err := signed(dir, public)
	if err != nil {
		return err
	}
	switch {
	case header.Site != s.Site:
		return fleet.Errorf(fleet.Conflict, "cannot sign the feed: the script is of site %s, the folder of %s", header.Site, s.Site)
	case header.Serial <= last.Serial:
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot sign the feed: serial %d was signed already", header.Serial), "render it anew: fernwerk feed render %s", dir)
	}
	sealed, err := readSmall(filepath.Join(dir, keyFile), feed.MaxKey)
	if err != nil {
		return err
	}
	passphrase, err := t.passphrase(passphraseFile, false)
	if err != nil {
		return err
	}
	key, err := feed.OpenKey(sealed, passphrase)
	if err != nil {
		return err
	}
	if err := key.Public().CheckFingerprint(public.Fingerprint()); err != nil {
		return err
	}
	file, err := key.Sign(text, time.Now())
	if err != nil {
		return err
	}
	out := filepath.Join(dir, signedFile)
	if err := atomicfile.WriteFile(out, file, 0o644); err != nil {
		return err
	}
	return t.result(map[string]any{"file": out, "serial": header.Serial, "fingerprint": public.Fingerprint()}, fmt.Sprintf("%s: serial %d, signed", out, header.Serial))
}

func (t command) nodeFilesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "node-files DIR", Args: tool.Args,
		Short: "Write the scripts that a bare node needs",
		Long: `Write the scripts that a bare node needs: fernwerk-feed (pins the key at the first
boot, then follows the feed), gen_certif, feed.conf to be filled in, the boot unit,
the crontab line, install.sh that puts them in place, and an example of update 000.`,
		RunE: func(c *cobra.Command, given []string) error { return t.nodeFiles(given[0]) },
	}
}

func (t command) nodeFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot write the node's files: %w", err)
	}
	var names []string
	err := fs.WalkDir(barenode.Files(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(barenode.Files(), name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if slices.Contains(barenode.Executable, name) {
			mode = 0o755
		}
		names = append(names, name)
		return atomicfile.WriteFile(filepath.Join(dir, name), data, mode)
	})
	if err != nil {
		return fmt.Errorf("cannot write the node's files: %w", err)
	}
	return t.result(map[string]any{"dir": dir, "files": names}, strings.Join(names, "\n"))
}

func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, path, limit)
}

func readIn(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, name, limit)
}

func readLimited(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fleet.Errorf(fleet.TooLarge, "cannot read %s: it is larger than %d bytes", name, limit)
	}
	return data, err
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r")
}
