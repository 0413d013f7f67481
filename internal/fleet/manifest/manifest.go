// Package manifest says what a tree of files is made of: one line an entry,
// sorted, with the SHA-256 of every file. It is the one description of a
// product's content in Fernwerk. A package carries it, a depot serves it, an
// agent makes its folder equal to it, and the signature over it (its digest
// is a target of the fleet's trust metadata) is what allows a file to be
// executed.
//
// Because a signature covers the text, there is exactly one text for one
// tree: [Parse] refuses everything that [Manifest.WriteTo] would not have
// written, so what parses prints back identically.
//
// # Text form, version 1
//
//	fernwerk manifest 1
//	d "bin"
//	x 812 4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945 "bin/setup.sh"
//	l "current" "bin/setup.sh"
//	f 2506 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 "utils.py"
//
// Entries stand in bytewise order of their paths. The letters are the [Type]
// values; sizes are decimal bytes without leading zeros; sums are lower-case
// hexadecimal. Names stand in double quotes with `\"`, `\\` and, for control
// characters, `\u00xx` with lower-case digits; everything else is plain UTF-8.
// LF ends every line, the last one too. Modes other than "executable", times
// and owners are left out: they do not survive the systems a product is
// copied to.
//
// A tree is closed: every folder of a path has its own d entry before it, and
// nothing lies below a file or a link. Links are relative and cannot leave the
// tree, see [CheckLink].
//
// Beside it stands the seed's `.files` list (MD5, see [WriteFiles]), derived
// for opsi clients and never trusted.
package manifest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
)

// Type is the first letter of an entry's line.
type Type byte

// The types of entries.
const (
	Dir  Type = 'd' // a folder
	File Type = 'f' // a regular file
	Exec Type = 'x' // a regular file with the executable bit
	Link Type = 'l' // a symbolic link
)

// Regular reports whether entries of this type have content: a size and a sum.
func (t Type) Regular() bool { return t == File || t == Exec }

func (t Type) String() string {
	switch t {
	case Dir:
		return "folder"
	case File:
		return "file"
	case Exec:
		return "executable file"
	case Link:
		return "link"
	}
	return fmt.Sprintf("type %q", byte(t))
}

// Entry is one object of the tree. Entries are compared with ==.
type Entry struct {
	Path   string // slash-separated, relative to the tree, see [CheckPath]
	Type   Type
	Size   int64             // bytes of a regular file, else 0
	Sum    [sha256.Size]byte // SHA-256 of a regular file, else zero
	Target string            // where a link points, relative to its own folder, else ""
}

// Manifest is a whole tree. The zero value is the empty tree. Values come from
// [New] or [Parse], which check them; the entries are to be read only.
type Manifest struct {
	Entries []Entry // in bytewise order of Path
}

// New makes a manifest of entries in any order. It sorts the slice in place,
// keeps it, and refuses what [Parse] would refuse.
func New(entries []Entry) (*Manifest, error) {
	slices.SortFunc(entries, byPath)
	m := &Manifest{Entries: entries}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("cannot list the tree: %w", err)
	}
	return m, nil
}

func byPath(a, b Entry) int { return cmp.Compare(a.Path, b.Path) }

// Find returns the entry of a path.
func (m *Manifest) Find(p string) (Entry, bool) {
	i, ok := m.search(p)
	if !ok {
		return Entry{}, false
	}
	return m.Entries[i], true
}

func (m *Manifest) search(p string) (int, bool) {
	return slices.BinarySearchFunc(m.Entries, p, func(e Entry, p string) int { return cmp.Compare(e.Path, p) })
}

// Size is the sum of the sizes of all files, in bytes. A checked manifest
// never overflows it.
func (m *Manifest) Size() int64 {
	var n int64
	for _, e := range m.Entries {
		n += e.Size
	}
	return n
}

// Files is the number of regular files, executable ones included.
func (m *Manifest) Files() int {
	n := 0
	for _, e := range m.Entries {
		if e.Type.Regular() {
			n++
		}
	}
	return n
}

// Digest is the SHA-256 of the text form: the name of this exact tree.
func (m *Manifest) Digest() [sha256.Size]byte {
	h := sha256.New()
	_, _ = m.WriteTo(h) // a hash takes every write
	return [sha256.Size]byte(h.Sum(nil))
}

// Text is the text form, as [Manifest.WriteTo] writes it.
func (m *Manifest) Text() []byte {
	var b bytes.Buffer
	_, _ = m.WriteTo(&b) // a buffer takes every write
	return b.Bytes()
}

// check walks the entries as if they were read one after the other.
func (m *Manifest) check() error {
	var t tree
	for _, e := range m.Entries {
		if err := t.add(e); err != nil {
			return err
		}
	}
	return nil
}

// tree takes entries in order and refuses the first that cannot follow.
type tree struct {
	m    Manifest
	size int64
	dir  string // the folder found last: most entries lie beside their neighbour
}

func (t *tree) add(e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	if n := len(t.m.Entries); n > 0 {
		switch last := t.m.Entries[n-1].Path; cmp.Compare(last, e.Path) {
		case 0:
			return fmt.Errorf("%q is listed twice", e.Path)
		case 1:
			return fmt.Errorf("%q must stand before %q", e.Path, last)
		}
	}
	if d := path.Dir(e.Path); d != "." && d != t.dir {
		parent, ok := t.m.Find(d)
		switch {
		case !ok:
			return fmt.Errorf("%q has no entry for its folder %q", e.Path, d)
		case parent.Type != Dir:
			return fmt.Errorf("%q lies below %q, which is a %v", e.Path, d, parent.Type)
		}
		t.dir = d
	}
	if e.Size > math.MaxInt64-t.size {
		return fmt.Errorf("the files up to %q are too large to count", e.Path)
	}
	t.size += e.Size
	t.m.Entries = append(t.m.Entries, e)
	return nil
}

// check looks at one entry without its neighbours.
func (e Entry) check() error {
	if err := CheckPath(e.Path); err != nil {
		return err
	}
	if !e.Type.Regular() && (e.Size != 0 || e.Sum != [sha256.Size]byte{}) {
		return fmt.Errorf("%q is a %v and cannot have a size or a sum", e.Path, e.Type)
	}
	switch e.Type {
	case Dir, File, Exec:
		if e.Target != "" {
			return fmt.Errorf("%q is a %v and cannot have a target", e.Path, e.Type)
		}
	case Link:
		return CheckLink(e.Path, e.Target)
	default:
		return fmt.Errorf("%q has the unknown type %q", e.Path, byte(e.Type))
	}
	if e.Size < 0 {
		return errors.New("a size cannot be negative")
	}
	return nil
}
