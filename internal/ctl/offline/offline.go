// Package offline is an administrator's folder of content trust: the keys that
// are on no server, and what they signed. The commands that sign work on it, and
// need no network.
//
//	DIR/keys/ROLE-ID.age    private keys of root and targets, each sealed with a
//	                        passphrase (package agefile); may be kept elsewhere
//	DIR/keys/....age.old    keys that were replaced
//	DIR/roots/N.root.json   every root from the first on
//	DIR/targets.json        the signed list, the newest only
//	DIR/content/SHA256      what the list's updates and configurations hold
//	DIR/published           digest of the list that the server was seen to have
//	DIR/lock                held while a command works on the folder
//
// Every file is replaced whole and synced, and a step that needs two files writes
// them in an order in which each state in between can be used: contents before the
// list that names them, a key before the root that names it, a list signed by the
// old and the new key before the root that changes from one to the other.
//
// Signing and publishing are apart. [Dir.Sign] makes the next version of the list;
// [Dir.Publish] hands to a server what it lacks, which may be on another day and
// from another machine. A server that has something else under a number that we
// used is a fork: nothing is overwritten, and [Dir.Pull] is the way out.
package offline

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
)

// Names in the folder.
const (
	keysDir    = "keys"
	rootsDir   = "roots"
	contentDir = "content"
	listFile   = "targets.json"
	pubFile    = "published"
	lockFile   = "lock"
)

// How long what is signed here counts. Expiry is a sign of freshness; hosts go on
// with what they have.
const (
	RootLife = 3 * 365 * 24 * time.Hour
	ListLife = 365 * 24 * time.Hour
)

// Dir is an open folder.
type Dir struct {
	// Keys are folders in which key files are looked for besides the own one.
	Keys []string

	path  string
	lock  *filelock.Lock
	roots []*trust.Root // from number 1 on
	list  *trust.Targets
	draft map[string]trust.Target // the next list
	// void is why the list does not count: its key was replaced, and a pull broke
	// off before it had the new one.
	void error
	// former says that it counted under the root before: what it names is ours.
	former bool
}

// Open opens a folder and locks it. Close it.
func Open(path string) (_ *Dir, err error) {
	d := &Dir{path: path}
	if _, err := os.Stat(d.at(rootsDir)); errors.Is(err, fs.ErrNotExist) {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot open %s: it is no folder of content trust", path), "make one with: fernwerk trust init %s", path)
	}
	if d.lock, err = filelock.Acquire(d.at(lockFile)); errors.Is(err, filelock.ErrHeld) {
		return nil, fleet.Errorf(fleet.Locked, "cannot open the folder of content trust: %w", err)
	}
	if err == nil {
		err = d.read()
	}
	if err != nil {
		_ = d.Close() // nothing was written
		return nil, fmt.Errorf("cannot open the folder of content trust %s: %w", path, err)
	}
	return d, nil
}

// Close gives the folder free.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	return d.lock.Release()
}

func (d *Dir) at(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// read reads roots and list, and verifies them: a folder may come from a stick.
func (d *Dir) read() error {
	for n := int64(1); ; n++ {
		data, err := readFile(d.at(rootsDir, trust.FileName(trust.RoleRoot, n)), trust.MaxSize(trust.RoleRoot))
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			break
		}
		if err != nil {
			return err
		}
		r, err := trust.ParseRoot(data)
		if err == nil {
			err = r.Verify(d.Root())
		}
		if err == nil && r.Version != n {
			err = fleet.Errorf(fleet.Invalid, "root %d is in the file of root %d", r.Version, n)
		}
		if err != nil {
			return err
		}
		d.roots = append(d.roots, r)
	}
	data, err := readFile(d.at(listFile), trust.MaxSize(trust.RoleTargets))
	if err != nil {
		return err
	}
	if d.list, d.void = d.verified(data); d.list == nil {
		return d.void
	}
	if n := len(d.roots); d.void != nil && n > 1 {
		before := d.roots[n-2]
		d.former = trust.VerifyBy(trust.RoleTargets, data, before.Keys, before.Roles[trust.RoleTargets]) == nil
	}
	d.draft = maps.Clone(d.list.Targets)
	return nil
}

// verified parses a list that the newest root's keys signed.
func (d *Dir) verified(data []byte) (*trust.Targets, error) {
	list, err := trust.ParseTargets(trust.RoleTargets, data)
	if err == nil {
		err = trust.VerifyBy(trust.RoleTargets, data, d.Root().Keys, d.Root().Roles[trust.RoleTargets])
	}
	return list, err
}

// voided is the error of who would go on with a list that does not count.
func (d *Dir) voided() error {
	return fleet.WithHint(fleet.Errorf(fleet.Conflict, "the list here is not signed by the keys that root %d names: %w", d.Root().Version, d.void),
		"take the server's: fernwerk trust pull %s", d.path)
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return data, err
}

// Root is the newest root, nil while there is none.
func (d *Dir) Root() *trust.Root {
	if len(d.roots) == 0 {
		return nil
	}
	return d.roots[len(d.roots)-1]
}

// List is the signed list.
func (d *Dir) List() *trust.Targets { return d.list }

// Add puts content under a name into the next list, and keeps it. custom is
// canonical JSON or nil. [Dir.Sign] makes the list.
func (d *Dir) Add(name string, content []byte, custom json.RawMessage) error {
	if !trust.HasContent(name) {
		return fleet.Errorf(fleet.Invalid, "cannot add %s: its content is a depot's", name)
	}
	if len(content) > trust.MaxContent {
		return fleet.Errorf(fleet.TooLarge, "cannot add %s: it has %d bytes, the most is %d", name, len(content), trust.MaxContent)
	}
	target := trust.TargetOf(content)
	target.Custom = custom
	if err := d.keepContent(content); err != nil {
		return fmt.Errorf("cannot add %s: %w", name, err)
	}
	d.draft[name] = target
	return nil
}

func (d *Dir) keepContent(content []byte) error {
	if err := makeDir(d.at(contentDir), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteFile(d.at(filepath.FromSlash(trust.TargetOf(content).ContentPath())), content, 0o644)
}

// AddTarget puts something into the next list whose content is elsewhere: a
// product's tree.
func (d *Dir) AddTarget(name string, t trust.Target) { d.draft[name] = t }

// Remove takes a name from the next list, and says whether it was there.
func (d *Dir) Remove(name string) bool {
	_, ok := d.draft[name]
	delete(d.draft, name)
	return ok
}

// Find is what the next list has under a name.
func (d *Dir) Find(name string) (trust.Target, bool) {
	t, ok := d.draft[name]
	return t, ok
}

// Names are the names of the next list with a prefix, in order.
func (d *Dir) Names(prefix string) []string { return names(d.draft, prefix) }

// Content is the content of a target, verified.
func (d *Dir) Content(name string) ([]byte, error) {
	t, ok := d.draft[name]
	if !ok {
		return nil, fleet.Errorf(fleet.NotFound, "cannot find %s: it is not on the list", name)
	}
	data, err := readFile(d.at(filepath.FromSlash(t.ContentPath())), trust.MaxContent)
	if err == nil {
		err = t.Check(data)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the content of %s: %w", name, err)
	}
	return data, nil
}

// Changed says whether the next list differs from the signed one.
func (d *Dir) Changed() bool { return !maps.EqualFunc(d.draft, d.list.Targets, sameTarget) }

func sameTarget(a, b trust.Target) bool {
	return a.Length == b.Length && a.SHA256 == b.SHA256 && bytes.Equal(a.Custom, b.Custom)
}

// Unpublished says whether the signed list is another than the server was seen
// to have.
func (d *Dir) Unpublished() bool {
	seen, err := readFile(d.at(pubFile), 1<<10)
	return err != nil || string(bytes.TrimSpace(seen)) != digest(d.list.Raw())
}

func (d *Dir) notePublished() error {
	return atomicfile.WriteFile(d.at(pubFile), []byte(digest(d.list.Raw())+"\n"), 0o644)
}

func digest(data []byte) string {
	sum := trust.TargetOf(data).SHA256
	return hex.EncodeToString(sum[:])
}

// makeDir makes a folder, durably.
func makeDir(path string, perm fs.FileMode) error {
	if err := os.MkdirAll(path, perm); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// Roots are all roots, from number 1 on.
func (d *Dir) Roots() []*trust.Root { return d.roots }

// Has says whether the file of a key is here.
func (d *Dir) Has(role string, key trust.Key) bool {
	_, ok := d.find(role, key)
	return ok
}

// Path is where the folder is.
func (d *Dir) Path() string { return d.path }
