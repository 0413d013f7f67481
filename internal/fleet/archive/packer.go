package archive

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// packer writes one compressed layer and keeps a list of what is in it.
type packer struct {
	press   io.WriteCloser
	tar     *tar.Writer
	modTime time.Time
	entries []manifest.Entry
	buf     []byte
}

func newPacker(w io.Writer, c Compression, modTime time.Time) (*packer, error) {
	press, err := c.writer(w)
	if err != nil {
		return nil, fmt.Errorf("cannot compress: %w", err)
	}
	return &packer{press: press, tar: tar.NewWriter(press), modTime: modTime, buf: make([]byte, 256<<10)}, nil
}

// Compression is how a build packs the layers. The zero value is zstd.
type Compression string

// What a build can write. Every opsi of today reads all; before 4.3 it was gzip.
const (
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
	None Compression = "none"
)

// Compressions are all of them, the default first.
func Compressions() []Compression { return []Compression{Zstd, Gzip, None} }

func (c Compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case "", Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(2))
	case Gzip:
		return gzip.NewWriterLevel(w, gzip.DefaultCompression)
	case None:
		return open{w}, nil
	}
	return nil, fmt.Errorf("unknown compression %q", string(c))
}

// open has nothing to close.
type open struct{ io.Writer }

func (open) Close() error { return nil }

// ending is that of a layer's file.
func (c Compression) ending() string {
	switch c {
	case Gzip:
		return ".tar.gz"
	case None:
		return ".tar"
	}
	return ".tar.zstd"
}

func (p *packer) header(typ byte, name string, mode int64) *tar.Header {
	return &tar.Header{Typeflag: typ, Name: name, Mode: mode, ModTime: p.modTime}
}

func (p *packer) dir(name string) error {
	p.entries = append(p.entries, manifest.Entry{Path: name, Type: manifest.Dir})
	return p.tar.WriteHeader(p.header(tar.TypeDir, name+"/", 0o755))
}

func (p *packer) link(name, target string) error {
	if err := manifest.CheckLink(name, target); err != nil {
		return err
	}
	p.entries = append(p.entries, manifest.Entry{Path: name, Type: manifest.Link, Target: target})
	h := p.header(tar.TypeSymlink, name, 0o777)
	h.Linkname = target
	return p.tar.WriteHeader(h)
}

func (p *packer) file(name string, typ manifest.Type, size int64, content io.Reader) error {
	h := p.header(tar.TypeReg, name, 0o644)
	if typ == manifest.Exec {
		h.Mode = 0o755
	}
	h.Size = size
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(sum, p.tar), io.LimitReader(content, size), p.buf)
	if err != nil {
		return err
	}
	if more, _ := io.ReadFull(content, p.buf[:1]); n != size || more > 0 {
		return errors.New("it changed while it was read")
	}
	p.entries = append(p.entries, manifest.Entry{Path: name, Type: typ, Size: size, Sum: [sha256.Size]byte(sum.Sum(nil))})
	return nil
}

func (p *packer) close() error {
	return errors.Join(p.tar.Close(), p.press.Close())
}
