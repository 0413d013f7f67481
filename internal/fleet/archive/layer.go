package archive

import (
	"archive/tar"
	"compress/bzip2"
	"fmt"
	"io"
	"regexp"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// member is an archive inside the package: a layer, or a custom one over it.
type member struct {
	name        string
	layer       Layer
	custom      string // of "CLIENT_DATA.custom"; "" for the base
	cpio        bool
	compression string
	start, size int64
}

const customForm = `[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,63})`

var memberForm = regexp.MustCompile(`^(?:\./)?(OPSI|SERVER_DATA|CLIENT_DATA)(?:\.(` + customForm + `?))?\.(tar|cpio)(?:\.([a-z0-9]+))?$`)

// parseMember reads the name of a layer, such as "CLIENT_DATA.tar.zstd" or
// "CLIENT_DATA.mine.cpio.gz".
func parseMember(name string) (member, error) {
	m := memberForm.FindStringSubmatch(name)
	if m == nil {
		return member{}, fmt.Errorf("%q is not a layer of a package", name)
	}
	switch m[4] {
	case "", "gz", "gzip", "bz2", "bzip2", "zst", "zstd":
		return member{name: name, layer: Layer(m[1]), custom: m[2], cpio: m[3] == "cpio", compression: m[4]}, nil
	}
	return member{}, fmt.Errorf("unknown compression %q (%s)", m[4], name)
}

// maxWindow is the memory that a zstd layer may ask for: what `zstd --long`
// uses.
const maxWindow = 128 << 20

// open returns the unpacked bytes of a layer.
func (m member) open(r io.ReaderAt) (io.Reader, func(), error) {
	in := io.NewSectionReader(r, m.start, m.size)
	switch m.compression {
	case "":
		return in, func() {}, nil
	case "gz", "gzip":
		z, err := gzip.NewReader(in)
		return z, func() {}, err
	case "bz2", "bzip2":
		return bzip2.NewReader(in), func() {}, nil
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}

// entries is an archive as both formats give it.
type entries interface {
	Next() (*tar.Header, error)
	io.Reader
}

// walk calls each for every entry, whose content may be left unread, and then
// looks whether anything stands behind the end.
func (m member) walk(r io.ReaderAt, each func(h *tar.Header, content io.Reader) error) error {
	stream, done, err := m.open(r)
	if err != nil {
		return fmt.Errorf("%s is damaged: %w", m.name, err)
	}
	defer done()
	in := &allowance{r: stream}
	var list entries = tar.NewReader(in)
	if m.cpio {
		list = newCPIO(in)
	}
	for {
		in.left = headerRoom
		h, err := list.Next()
		if err == io.EOF {
			err = in.end()
			if err == nil {
				return nil
			}
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, damaged(err))
		}
		if h == nil {
			continue
		}
		in.left += h.Size
		if err := each(h, list); err != nil {
			return fmt.Errorf("%s: %q: %w", m.name, h.Name, err)
		}
	}
}
