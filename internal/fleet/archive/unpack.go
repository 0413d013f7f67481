package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fernwerk/fernwerk/internal/fleet/control"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Package is an opened package.
type Package struct {
	Control  *control.Control
	Manifest *manifest.Manifest // the carried one; nil in packages built by opsi
	Files    map[string][]byte  // the OPSI layer by path: preinst, postinst, ...
	Custom   []string           // names of the custom layers, in the order in which they win

	r      io.ReaderAt
	layers map[Layer][]member // the base, then the custom ones
	limits Limits
}

// Handler receives one entry of a data layer, folders before what is in them.
// The entry of a file has no Sum yet; its content must be read within the call,
// what is left unread is skipped (and still checked).
type Handler func(layer Layer, e manifest.Entry, content io.Reader) error

// Open finds the layers of a package of size bytes, and reads its control
// data, scripts and manifest into memory.
func Open(r io.ReaderAt, size int64, limits Limits) (*Package, error) {
	p := &Package{r: r, limits: limits.orDefault(), Files: map[string][]byte{}}
	if err := p.open(size); err != nil {
		return nil, fmt.Errorf("cannot open the package: %w", err)
	}
	return p, nil
}

func (p *Package) open(size int64) error {
	if err := p.index(size); err != nil {
		return err
	}
	if len(p.layers[Opsi]) == 0 {
		return errors.New("it has no OPSI layer")
	}
	left := budget{entries: p.limits.Entries, bytes: p.limits.ControlBytes}
	_, err := p.merge(Opsi, &left, func(e manifest.Entry, content io.Reader) error {
		if e.Type == manifest.Link {
			return errors.New("links are not allowed here")
		}
		if e.Type == manifest.Dir {
			return nil
		}
		data, err := io.ReadAll(content)
		p.Files[e.Path] = data
		return err
	})
	if err != nil {
		return err
	}
	if p.Control, err = control.Read(p.Files); err != nil {
		return err
	}
	// Another tool may keep a file of this name; ours is known by its start.
	if text := p.Files[ManifestFile]; bytes.HasPrefix(text, []byte("fernwerk manifest ")) {
		p.Manifest, err = manifest.Parse(bytes.NewReader(text), manifest.Limits{Bytes: p.limits.ControlBytes, Entries: p.limits.Entries})
	}
	return err
}

// Unpack hands every entry of SERVER_DATA, then of CLIENT_DATA, to the handler
// and returns the manifest of CLIENT_DATA. Custom layers are laid over their
// base, each path is handed once. If the package carries one, the two
// must be equal; the handler's work is to be thrown away when Unpack fails.
func (p *Package) Unpack(ctx context.Context, handle Handler) (*manifest.Manifest, error) {
	m := &manifest.Manifest{}
	left := budget{entries: p.limits.Entries, bytes: p.limits.Bytes}
	for _, layer := range []Layer{ServerData, ClientData} {
		got, err := p.merge(layer, &left, func(e manifest.Entry, content io.Reader) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return handle(layer, e, contextReader{ctx, content})
		})
		if err != nil {
			return nil, fmt.Errorf("cannot unpack the package: %w", err)
		}
		if layer == ClientData {
			m = got
		}
	}
	if p.Manifest != nil {
		if err := compare(p.Manifest, m); err != nil {
			return nil, fmt.Errorf("cannot unpack the package: %w", err)
		}
	}
	return m, nil
}

// compare names the first path at which the content is not what the manifest
// promised.
func compare(promised, got *manifest.Manifest) error {
	first, differ := manifest.Compare(promised, got).First()
	if !differ {
		return nil
	}
	_, wanted := promised.Find(first)
	_, there := got.Find(first)
	switch {
	case !there:
		return fmt.Errorf("its manifest lists %q, which is not in it", first)
	case !wanted:
		return fmt.Errorf("%q is not in its manifest", first)
	}
	return fmt.Errorf("%q is not as its manifest says", first)
}

// contextReader stops a long file when nobody waits for it.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
