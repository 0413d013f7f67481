package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// budget is what is left of the limits.
type budget struct {
	entries int
	bytes   int64
}

// allowance lets only so many bytes through. It is refilled entry by entry, so
// that neither endless headers nor more content than announced come out of a
// small compressed file.
type allowance struct {
	r    io.Reader
	left int64
}

func (a *allowance) Read(b []byte) (int, error) {
	if a.left <= 0 {
		return 0, fleet.Errorf(fleet.TooLarge, "its headers are larger than allowed")
	}
	n, err := a.r.Read(b[:min(int64(len(b)), a.left)])
	a.left -= int64(n)
	return n, err
}

// headerRoom is what one entry may need beside its content: names of 4 KiB,
// extended attributes, padding.
const headerRoom = 64 << 10

// end reads what stands behind the last entry: it must be padding, and the
// compressor's checksum stands behind it.
func (a *allowance) end() error {
	a.left = 1 << 20
	buf := make([]byte, 32<<10)
	for {
		n, err := a.Read(buf)
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return errors.New("there is data behind its end")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
	}
}

func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	if fleet.CodeOf(err) == fleet.TooLarge {
		return err
	}
	return fmt.Errorf("it is damaged: %w", err)
}

// merge reads a layer and the custom ones over it as one tree, and hands every
// path on once: what a later member holds wins.
func (p *Package) merge(layer Layer, left *budget, handle func(manifest.Entry, io.Reader) error) (*manifest.Manifest, error) {
	members := p.layers[layer]
	t := &tree{left: left, handle: handle, seen: map[string]manifest.Type{}, implied: map[string]bool{}}
	// What each custom member brings must be known before the ones below it are
	// read.
	above := make([]map[string]manifest.Type, len(members))
	for i := len(members) - 1; i > 0; i-- {
		look := *left
		dry := &tree{left: &look, seen: map[string]manifest.Type{}, implied: map[string]bool{}}
		if err := dry.read(p.r, members[i]); err != nil {
			return nil, err
		}
		above[i-1] = dry.seen
		for name, typ := range above[i] {
			above[i-1][name] = typ
		}
	}
	for i, m := range members {
		t.above = above[i]
		if err := t.read(p.r, m); err != nil {
			return nil, err
		}
	}
	return manifest.New(t.entries)
}

// tree is a layer as it comes together.
type tree struct {
	left    *budget
	handle  func(manifest.Entry, io.Reader) error // nil: only look
	entries []manifest.Entry
	seen    map[string]manifest.Type
	implied map[string]bool          // folders that had no entry of their own yet
	above   map[string]manifest.Type // what later members hold

	own  map[string]manifest.Type // of the member that is read; hard links lead there
	hard map[string][]hardLink    // names that want the content of another
}

// hardLink is another name of a file.
type hardLink struct {
	name string
	exec bool
}

// read reads one member. Hard links need the content of a file that has gone
// by, so the member is read again for them.
func (t *tree) read(r io.ReaderAt, m member) error {
	t.own, t.hard = map[string]manifest.Type{}, map[string][]hardLink{}
	err := m.walk(r, func(h *tar.Header, content io.Reader) error {
		if h.Size > t.left.bytes {
			return fleet.Errorf(fleet.TooLarge, "its content is larger than allowed")
		}
		return t.entry(h, content)
	})
	for pass := 0; err == nil && len(t.hard) > 0; pass++ {
		if pass == maxPasses {
			return fleet.Errorf(fleet.TooLarge, "%s: a large file has more than %d names", m.name, maxPasses)
		}
		err = m.walk(r, t.linked)
	}
	return err
}

const (
	// maxPasses is how often a member is read again for hard links.
	maxPasses = 32
	// bufferLinked is up to which size one pass serves all names of a file.
	bufferLinked = 1 << 20
)

// entry checks one entry and hands it on.
func (t *tree) entry(h *tar.Header, content io.Reader) error {
	e := manifest.Entry{Path: cleaned(h.Name)}
	switch h.Typeflag {
	case tar.TypeDir:
		e.Type = manifest.Dir
		e.Path = strings.TrimSuffix(e.Path, "/")
		if e.Path == "" || e.Path == "." {
			return nil // the layer's own folder
		}
	case tar.TypeSymlink:
		e.Type, e.Target = manifest.Link, h.Linkname
	case tar.TypeReg:
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				return errors.New("sparse files are refused")
			}
		}
		e.Type, e.Size = regular(h.Mode&0o111 != 0), h.Size
	case tar.TypeGNUSparse:
		return errors.New("sparse files are refused")
	case tar.TypeLink:
		return t.hardLink(e.Path, cleaned(h.Linkname))
	case tar.TypeXGlobalHeader:
		return t.count() // what `git archive` says about itself
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return errors.New("devices and pipes are refused")
	default:
		return fmt.Errorf("entries of the kind %q are refused", h.Typeflag)
	}
	if err := manifest.CheckPath(e.Path); err != nil {
		return err
	}
	if e.Type == manifest.Link {
		if err := manifest.CheckLink(e.Path, e.Target); err != nil {
			return err
		}
	}
	if _, twice := t.own[e.Path]; twice {
		return errors.New("it is there twice")
	}
	t.own[e.Path] = e.Type
	return t.hand(e, content)
}

// cleaned drops the "./" that `tar .` and `find .` put before names.
func cleaned(name string) string { return strings.TrimPrefix(name, "./") }

func regular(exec bool) manifest.Type {
	if exec {
		return manifest.Exec
	}
	return manifest.File
}

// hardLink notes a further name of a file that came before.
func (t *tree) hardLink(name, of string) error {
	if err := manifest.CheckPath(name); err != nil {
		return err
	}
	typ, ok := t.own[of]
	if _, twice := t.own[name]; twice {
		return errors.New("it is there twice")
	}
	if !ok || !typ.Regular() {
		return fmt.Errorf("it is a hard link to %q, which is no file before it", of)
	}
	if err := t.count(); err != nil {
		return err
	}
	t.own[name] = manifest.Link // no second link leads here
	t.hard[of] = append(t.hard[of], hardLink{name, typ == manifest.Exec})
	return nil
}

// linked gives a file that passes again to its further names.
func (t *tree) linked(h *tar.Header, content io.Reader) error {
	of := cleaned(h.Name)
	names := t.hard[of]
	if len(names) == 0 || h.Typeflag != tar.TypeReg {
		return nil
	}
	if h.Size > bufferLinked {
		if t.hard[of] = names[1:]; len(names) == 1 {
			delete(t.hard, of)
		}
		return t.another(names[0], h.Size, content)
	}
	delete(t.hard, of)
	data, err := io.ReadAll(told{content})
	for _, n := range names {
		if err == nil {
			err = t.another(n, h.Size, bytes.NewReader(data))
		}
	}
	return err
}

func (t *tree) another(n hardLink, size int64, content io.Reader) error {
	if size > t.left.bytes {
		return fleet.Errorf(fleet.TooLarge, "its content is larger than allowed")
	}
	t.left.entries++ // it was counted when it was noted
	return t.hand(manifest.Entry{Path: n.name, Type: regular(n.exec), Size: size}, content)
}

func (t *tree) count() error {
	if t.left.entries--; t.left.entries < 0 {
		return fleet.Errorf(fleet.TooLarge, "there are more entries than allowed")
	}
	return nil
}

// parents adds the folders that a path needs and that have no entry: some
// packers write only files.
func (t *tree) parents(p string) error {
	dir := path.Dir(p)
	if dir == "." {
		return nil
	}
	if typ, ok := t.seen[dir]; ok {
		if typ != manifest.Dir {
			return fmt.Errorf("%q is a %v, not a folder", dir, typ)
		}
		return nil
	}
	if err := t.parents(dir); err != nil {
		return err
	}
	t.implied[dir] = true
	return t.give(manifest.Entry{Path: dir, Type: manifest.Dir}, nil)
}

// hand passes an entry on, unless a custom member has its own.
func (t *tree) hand(e manifest.Entry, content io.Reader) error {
	if err := t.parents(e.Path); err != nil {
		return err
	}
	if typ, ok := t.seen[e.Path]; ok {
		if e.Type == manifest.Dir && typ == manifest.Dir {
			delete(t.implied, e.Path)
			return nil
		}
		return errors.New("it is there twice")
	}
	return t.give(e, content)
}

func (t *tree) give(e manifest.Entry, content io.Reader) error {
	if err := t.count(); err != nil {
		return err
	}
	if over, ok := t.above[e.Path]; ok && e.Type != manifest.Dir {
		if over == manifest.Dir {
			return fmt.Errorf("it is a %v, and a folder in a custom layer", e.Type)
		}
		return nil // the custom one comes
	} else if ok && over != manifest.Dir {
		return fmt.Errorf("%q is a folder, and a %v in a custom layer", e.Path, over)
	}
	t.seen[e.Path] = e.Type
	if !e.Type.Regular() {
		t.entries = append(t.entries, e)
		if t.handle == nil {
			return nil
		}
		return t.handle(e, bytes.NewReader(nil))
	}
	t.left.bytes -= e.Size
	if t.handle == nil {
		return nil
	}
	sum := sha256.New()
	checked := io.TeeReader(told{content}, sum)
	if err := t.handle(e, checked); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, checked); err != nil {
		return err
	}
	e.Sum = [sha256.Size]byte(sum.Sum(nil))
	t.entries = append(t.entries, e)
	return nil
}

// told says of every error that comes from the package itself what it means,
// before a handler passes it on.
type told struct{ r io.Reader }

func (t told) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}
