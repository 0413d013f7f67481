package archive

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// cpioReader reads a cpio archive in the four spellings that packages were
// ever made of (cpio(5) of the BSDs): "new ASCII" with and without checksums,
// "old ASCII" (odc), and the binary form of either byte order. Libraries know
// the first two only.
//
// It speaks in tar's headers, so that everything behind it has one language.
// Hard links in the new forms carry the content with the last name; here the
// name with the content comes first, and the others follow as tar's links.
type cpioReader struct {
	r       io.Reader
	content io.LimitedReader // of the current entry
	pad     int64            // behind the content
	sum     uint32           // of the content so far
	want    uint32           // what it must be
	summed  bool             // whether there is one
	waiting map[inode][]*tar.Header
	ready   []*tar.Header // links whose content has passed
	kept    int           // bytes of the names that wait
	ended   bool
}

// inode says which names are one file.
type inode struct{ major, minor, number int64 }

// maxWaiting bounds the names kept until their content comes, in bytes.
const maxWaiting = 16 << 20

// trailer is the name of the entry that ends the archive.
const trailer = "TRAILER!!!"

func newCPIO(r io.Reader) *cpioReader {
	return &cpioReader{r: r, waiting: map[inode][]*tar.Header{}}
}

// isCPIO tells a cpio archive by its first bytes.
func isCPIO(head []byte) bool {
	if len(head) < 6 {
		return false
	}
	switch string(head[:6]) {
	case "070701", "070702", "070707":
		return true
	}
	return string(head[:2]) == "\xc7\x71" || string(head[:2]) == "\x71\xc7"
}

// cpioHeader is an entry in any spelling.
type cpioHeader struct {
	inode                       inode
	mode, links, size, nameSize int64
	headPad, align              int64 // zeros behind the name, and the multiple that content fills
	check                       uint32
	checked                     bool
	shared                      bool // whether hard links leave the content to the last name
}

// Next goes to the next entry. No header and no error is a name whose content
// comes later.
func (c *cpioReader) Next() (*tar.Header, error) {
	if err := c.skip(); err != nil {
		return nil, err
	}
	if len(c.ready) > 0 {
		h := c.ready[0]
		c.ready = c.ready[1:]
		return h, nil
	}
	if c.ended {
		return nil, io.EOF
	}
	raw, err := c.header()
	if err != nil {
		return nil, err
	}
	if raw.nameSize < 2 || raw.nameSize > manifest.MaxPath+1 {
		return nil, fmt.Errorf("a name of %d bytes is not possible", raw.nameSize)
	}
	name := make([]byte, raw.nameSize+raw.headPad)
	if err := c.full(name); err != nil {
		return nil, err
	}
	text, rest, ok := bytes.Cut(name[:raw.nameSize], []byte{0})
	if !ok || len(rest) > 0 {
		return nil, errors.New("a name does not end where its header says")
	}
	c.content = io.LimitedReader{R: c.r, N: raw.size}
	c.pad = -raw.size & (raw.align - 1)
	c.sum, c.want, c.summed = 0, raw.check, raw.checked
	if string(text) == trailer {
		if raw.size != 0 {
			return nil, errors.New("its end mark has content")
		}
		return c.end()
	}
	h := &tar.Header{Name: string(text), Mode: raw.mode & 0o7777, Size: raw.size}
	switch raw.mode & 0o170000 {
	case 0o040000:
		h.Typeflag = tar.TypeDir
	case 0o100000:
		h.Typeflag = tar.TypeReg
		return c.link(h, raw)
	case 0o120000:
		return c.symlink(h)
	case 0o060000:
		h.Typeflag = tar.TypeBlock
	case 0o020000:
		h.Typeflag = tar.TypeChar
	case 0o010000:
		h.Typeflag = tar.TypeFifo
	default: // a socket, or what no system knows
		return nil, fmt.Errorf("%q: entries of the kind %o are refused", h.Name, raw.mode>>12)
	}
	return h, nil
}

func (c *cpioReader) symlink(h *tar.Header) (*tar.Header, error) {
	if h.Size > manifest.MaxPath {
		return nil, fmt.Errorf("%q: its target is longer than %d bytes", h.Name, manifest.MaxPath)
	}
	target, err := io.ReadAll(c)
	if err != nil {
		return nil, err
	}
	h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, string(target), 0
	return h, nil
}

// link sorts names of one file: those without content wait for the one with it.
func (c *cpioReader) link(h *tar.Header, raw cpioHeader) (*tar.Header, error) {
	if !raw.shared || raw.links < 2 {
		return h, nil
	}
	if h.Size == 0 {
		if c.kept += len(h.Name) + 256; c.kept > maxWaiting {
			return nil, errors.New("there are too many hard links")
		}
		c.waiting[raw.inode] = append(c.waiting[raw.inode], h)
		return nil, nil
	}
	for _, other := range c.waiting[raw.inode] {
		other.Typeflag, other.Linkname = tar.TypeLink, h.Name
		c.ready = append(c.ready, other)
	}
	delete(c.waiting, raw.inode)
	return h, nil
}

// end lets those go whose content never came: they are empty files.
func (c *cpioReader) end() (*tar.Header, error) {
	c.ended = true
	for _, names := range c.waiting {
		c.ready = append(c.ready, names...)
	}
	c.waiting = nil
	return c.Next()
}

// Read reads the content of the current entry.
func (c *cpioReader) Read(b []byte) (int, error) {
	n, err := c.content.Read(b)
	if c.summed {
		for _, v := range b[:n] {
			c.sum += uint32(v)
		}
	}
	switch {
	case err == io.EOF && c.content.N > 0:
		return n, io.ErrUnexpectedEOF
	case c.content.N == 0 && c.summed && c.sum != c.want:
		return n, errors.New("the checksum of its content is wrong")
	}
	return n, err
}

// passed says that somebody else has gone behind the current content.
func (c *cpioReader) passed() { c.content.N, c.summed = 0, false }

// skip goes behind the content of the current entry.
func (c *cpioReader) skip() error {
	if c.content.R == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	var zeros [4]byte
	pad := c.pad
	c.content.R, c.pad = nil, 0
	return c.full(zeros[:pad])
}

func (c *cpioReader) full(b []byte) error {
	_, err := io.ReadFull(c.r, b)
	if err == io.EOF && len(b) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *cpioReader) header() (cpioHeader, error) {
	var magic [6]byte
	if err := c.full(magic[:]); err != nil {
		return cpioHeader{}, err
	}
	switch {
	case string(magic[:]) == "070701", string(magic[:]) == "070702":
		return c.newASCII(magic[5] == '2')
	case string(magic[:]) == "070707":
		return c.oldASCII()
	case string(magic[:2]) == "\xc7\x71":
		return c.binary(magic[2:], binary.LittleEndian)
	case string(magic[:2]) == "\x71\xc7":
		return c.binary(magic[2:], binary.BigEndian)
	}
	return cpioHeader{}, errors.New("a header of cpio is missing")
}

// numbers reads fields of digits of the given widths.
func (c *cpioReader) numbers(base int, widths string) ([]int64, error) {
	var out []int64
	for _, w := range []byte(widths) {
		var field [11]byte
		text := field[:w]
		if err := c.full(text); err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(string(text), base, 63)
		if err != nil {
			return nil, fmt.Errorf("%q is no number of a header", text)
		}
		out = append(out, int64(n))
	}
	return out, nil
}

// newASCII: ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor
// rdevminor namesize check, 8 hexadecimal digits each.
func (c *cpioReader) newASCII(summed bool) (cpioHeader, error) {
	n, err := c.numbers(16, strings.Repeat("\x08", 13))
	if err != nil {
		return cpioHeader{}, err
	}
	return cpioHeader{
		inode: inode{n[7], n[8], n[0]}, mode: n[1], links: n[4], size: n[6], nameSize: n[11],
		headPad: -(110 + n[11]) & 3, align: 4, check: uint32(n[12]), checked: summed && n[1]&0o170000 == 0o100000, shared: true,
	}, nil
}

// oldASCII: dev ino mode uid gid nlink rdev (6 octal digits each), mtime (11),
// namesize (6), filesize (11).
func (c *cpioReader) oldASCII() (cpioHeader, error) {
	n, err := c.numbers(8, "\x06\x06\x06\x06\x06\x06\x06\x0b\x06\x0b")
	if err != nil {
		return cpioHeader{}, err
	}
	return cpioHeader{inode: inode{0, n[0], n[1]}, mode: n[2], links: n[5], size: n[9], nameSize: n[8], align: 1}, nil
}

// binary: dev ino mode uid gid nlink rdev mtime[2] namesize filesize[2], 16
// bits each; of the doubled ones the high half comes first, whatever the order.
func (c *cpioReader) binary(start []byte, order binary.ByteOrder) (cpioHeader, error) {
	var rest [20]byte
	if err := c.full(rest[:]); err != nil {
		return cpioHeader{}, err
	}
	var n [12]int64
	for i := range n {
		n[i] = int64(order.Uint16(append(start[:4:4], rest[:]...)[2*i:]))
	}
	return cpioHeader{
		inode: inode{0, n[0], n[1]}, mode: n[2], links: n[5], size: n[10]<<16 | n[11], nameSize: n[9],
		headPad: n[9] & 1, align: 2,
	}, nil
}
