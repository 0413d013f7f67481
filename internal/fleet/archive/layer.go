package archive

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// packer writes one compressed layer and keeps a list of what is in it.
type packer struct {
	zstd    *zstd.Encoder
	tar     *tar.Writer
	modTime time.Time
	entries []manifest.Entry
	buf     []byte
}

func newPacker(w io.Writer, modTime time.Time) (*packer, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("cannot compress: %w", err)
	}
	return &packer{zstd: z, tar: tar.NewWriter(z), modTime: modTime, buf: make([]byte, 256<<10)}, nil
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
	return errors.Join(p.tar.Close(), p.zstd.Close())
}

// member is a layer's place in the package file.
type member struct {
	name        string
	compression string
	start, size int64
}

var memberForm = regexp.MustCompile(`^(?:\./)?(OPSI|SERVER_DATA|CLIENT_DATA)(\.[^/]+?)?\.(tar|cpio)(?:\.([a-z0-9]+))?$`)

// parseMember reads the name of a layer, such as "CLIENT_DATA.tar.zstd".
func parseMember(name string) (Layer, member, error) {
	m := memberForm.FindStringSubmatch(name)
	switch {
	case m == nil:
		return "", member{}, fmt.Errorf("%q is not a layer of a package", name)
	case m[2] != "":
		return "", member{}, fmt.Errorf("not supported yet: custom layers (%s)", name)
	case m[3] == "cpio":
		return "", member{}, fmt.Errorf("not supported yet: cpio (%s)", name)
	case m[4] == "bz2":
		return "", member{}, fmt.Errorf("not supported yet: bzip2 (%s)", name)
	}
	switch m[4] {
	case "", "gz", "zst", "zstd":
		return Layer(m[1]), member{name: name, compression: m[4]}, nil
	}
	return "", member{}, fmt.Errorf("unknown compression %q (%s)", m[4], name)
}

// maxWindow is the memory that a zstd layer may ask for: what `zstd --long`
// uses.
const maxWindow = 128 << 20

// open returns the tar stream of a layer.
func (m member) open(r io.ReaderAt) (io.Reader, func(), error) {
	in := io.NewSectionReader(r, m.start, m.size)
	switch m.compression {
	case "":
		return in, func() {}, nil
	case "gz":
		z, err := gzip.NewReader(in)
		return z, func() {}, err
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}
