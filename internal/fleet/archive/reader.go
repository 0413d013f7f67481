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

// unpacker holds what is left of the limits.
type unpacker struct {
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

func (u *unpacker) layer(r io.ReaderAt, m member, handle func(manifest.Entry, io.Reader) error) (*manifest.Manifest, error) {
	in, done, err := m.open(r)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", m.name, err)
	}
	defer done()
	l := &layerReader{u: u, in: &allowance{r: in}, handle: handle, seen: map[string]manifest.Type{}, implied: map[string]bool{}}
	if err := l.read(); err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	return manifest.New(l.entries)
}

type layerReader struct {
	u       *unpacker
	in      *allowance
	handle  func(manifest.Entry, io.Reader) error
	entries []manifest.Entry
	seen    map[string]manifest.Type
	implied map[string]bool // folders that had no entry of their own yet
}

func (l *layerReader) read() error {
	t := tar.NewReader(l.in)
	for {
		l.in.left = headerRoom
		h, err := t.Next()
		if err == io.EOF {
			return l.end()
		}
		if err != nil {
			return damaged(err)
		}
		if h.Size > l.u.bytes {
			return fleet.Errorf(fleet.TooLarge, "its content is larger than allowed")
		}
		l.in.left += h.Size
		if err := l.entry(h, t); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
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

// end reads what stands behind the last entry: it must be padding, and the
// compressor's checksum stands behind it.
func (l *layerReader) end() error {
	l.in.left = 1 << 20
	buf := make([]byte, 32<<10)
	for {
		n, err := l.in.Read(buf)
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

// entry checks one entry and hands it on.
func (l *layerReader) entry(h *tar.Header, content io.Reader) error {
	e := manifest.Entry{Path: strings.TrimPrefix(h.Name, "./")}
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
		if h.Mode&0o6000 != 0 {
			return errors.New("files with setuid or setgid are refused")
		}
		e.Type, e.Size = manifest.File, h.Size
		if h.Mode&0o111 != 0 {
			e.Type = manifest.Exec
		}
	case tar.TypeLink:
		return errors.New("hard links are refused")
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
	if err := l.parents(e.Path); err != nil {
		return err
	}
	if _, ok := l.seen[e.Path]; ok {
		if e.Type == manifest.Dir && l.implied[e.Path] {
			delete(l.implied, e.Path)
			return nil
		}
		return errors.New("it is there twice")
	}
	return l.hand(e, content)
}

// parents adds the folders that a path needs and that have no entry: some
// packers write only files.
func (l *layerReader) parents(p string) error {
	dir := path.Dir(p)
	if dir == "." {
		return nil
	}
	if typ, ok := l.seen[dir]; ok {
		if typ != manifest.Dir {
			return fmt.Errorf("%q is a %v, not a folder", dir, typ)
		}
		return nil
	}
	if err := l.parents(dir); err != nil {
		return err
	}
	l.implied[dir] = true
	return l.hand(manifest.Entry{Path: dir, Type: manifest.Dir}, nil)
}

func (l *layerReader) hand(e manifest.Entry, content io.Reader) error {
	if l.u.entries--; l.u.entries < 0 {
		return fleet.Errorf(fleet.TooLarge, "there are more entries than allowed")
	}
	l.seen[e.Path] = e.Type
	if !e.Type.Regular() {
		l.entries = append(l.entries, e)
		return l.handle(e, bytes.NewReader(nil))
	}
	l.u.bytes -= e.Size
	sum := sha256.New()
	checked := io.TeeReader(told{content}, sum)
	if err := l.handle(e, checked); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, checked); err != nil {
		return err
	}
	e.Sum = [sha256.Size]byte(sum.Sum(nil))
	l.entries = append(l.entries, e)
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
