package chunkindex

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

const header = "fernwerk tree index 1"

// Limits bounds what a text may ask of its reader. A zero field means the
// default.
type Limits struct {
	Bytes   int64 // of the whole text; default 256 MiB
	Entries int   // of the manifest; default 1,000,000
	Chunks  int   // of all files together; default 4,000,000 (256 GB of content)
}

func (l Limits) orDefault() Limits {
	l.Bytes = cmp.Or(l.Bytes, 256<<20)
	l.Entries = cmp.Or(l.Entries, 1_000_000)
	l.Chunks = cmp.Or(l.Chunks, 4_000_000)
	return l
}

// Parse reads an index up to the end of r. What WriteTo would not have written
// is refused.
func Parse(r io.Reader, limits Limits) (*Index, error) {
	limits = limits.orDefault()
	in := &reader{Reader: bufio.NewReader(&bounded{r, limits.Bytes})}
	x, err := in.index(limits)
	if err != nil {
		return nil, fmt.Errorf("cannot read the tree index: %w", err)
	}
	return x, nil
}

var errTooLong = errors.New("the text is longer than allowed")

// bounded fails where io.LimitReader would end silently.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		if n, err := b.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

type reader struct{ *bufio.Reader }

func (in reader) index(limits Limits) (*Index, error) {
	if err := in.expect(header); err != nil {
		return nil, err
	}
	tree, digest, err := in.manifest(limits)
	if err != nil {
		return nil, err
	}
	if err := in.expect("chunks"); err != nil {
		return nil, err
	}
	b := newBuilder(tree)
	b.x.Digest = digest
	for _, e := range tree.Entries {
		var list []Chunk
		if e.Size > MinChunk {
			if list, err = in.list(e); err != nil {
				return nil, err
			}
		}
		if err := b.add(e, list); err != nil {
			return nil, err
		}
		if len(b.x.refs) > limits.Chunks {
			return nil, fmt.Errorf("more than %d chunks", limits.Chunks)
		}
	}
	switch _, err := in.ReadByte(); err {
	case io.EOF:
		return &b.x, nil
	case nil:
		return nil, errors.New("text follows the last file's chunks")
	default:
		return nil, err
	}
}

func (in reader) manifest(limits Limits) (m *manifest.Manifest, digest [sha256.Size]byte, err error) {
	line, err := in.line()
	if err != nil {
		return nil, digest, err
	}
	digits, ok := strings.CutPrefix(line, "manifest ")
	size, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || size < 0 || strconv.FormatInt(size, 10) != digits {
		return nil, digest, fmt.Errorf("want the manifest's size, not %q", line)
	}
	h := sha256.New()
	text := &io.LimitedReader{R: in.Reader, N: size}
	m, err = manifest.Parse(io.TeeReader(text, h), manifest.Limits{Bytes: limits.Bytes, Entries: limits.Entries})
	if err != nil {
		return nil, digest, err
	}
	if text.N > 0 {
		return nil, digest, io.ErrUnexpectedEOF
	}
	return m, [sha256.Size]byte(h.Sum(nil)), nil
}

// list reads one file's chunks, nil for "whole".
func (in reader) list(e manifest.Entry) ([]Chunk, error) {
	var list []Chunk
	for left := e.Size; left > 0; {
		line, err := in.line()
		if err != nil {
			return nil, fmt.Errorf("%q: %w", e.Path, err)
		}
		if line == "whole" && list == nil {
			return nil, nil
		}
		c, err := parseChunk(line)
		if err == nil {
			err = checkSize(c.Size, left, len(list)) // here, before the list can grow
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", e.Path, err)
		}
		left -= int64(c.Size)
		list = append(list, c)
	}
	return list, nil
}

func parseChunk(line string) (c Chunk, err error) {
	digits, sum, _ := strings.Cut(line, " ")
	c.Size, err = strconv.Atoi(digits)
	if err != nil || strconv.Itoa(c.Size) != digits || !decodeHex(c.Sum[:], sum) {
		return c, fmt.Errorf(`want a chunk's size and its SHA-256, not %q`, line)
	}
	return c, nil
}

// decodeHex fills dst from exactly as many lower-case digits.
func decodeHex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) || strings.ContainsAny(s, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// maxLine is longer than any line outside the manifest.
const maxLine = 128

func (in reader) line() (string, error) {
	b, err := in.ReadSlice('\n')
	switch {
	case err == io.EOF:
		return "", io.ErrUnexpectedEOF
	case err == bufio.ErrBufferFull || err == nil && len(b) > maxLine:
		return "", errors.New("a line is too long")
	case err != nil:
		return "", err
	}
	return string(b[:len(b)-1]), nil
}

func (in reader) expect(want string) error {
	line, err := in.line()
	if err == nil && line != want {
		err = fmt.Errorf("want the line %q, not %q", want, line)
	}
	return err
}

// WriteTo writes the text form.
func (x *Index) WriteTo(w io.Writer) (int64, error) {
	text := x.Tree.Text()
	buf := fmt.Appendf(nil, "%s\nmanifest %d\n", header, len(text))
	buf = append(buf, text...)
	buf = append(buf, "chunks\n"...)
	var total int64
	for i, e := range x.Tree.Entries {
		if e.Size <= MinChunk {
			continue
		}
		refs := x.Of(i)
		if len(refs) == 1 {
			buf = append(buf, "whole\n"...)
			continue
		}
		for _, n := range refs {
			buf = strconv.AppendInt(buf, int64(x.Chunks[n].Size), 10)
			buf = append(buf, ' ')
			buf = hex.AppendEncode(buf, x.Chunks[n].Sum[:])
			buf = append(buf, '\n')
		}
		if len(buf) > 64<<10 {
			n, err := w.Write(buf)
			total += int64(n)
			if err != nil {
				return total, fmt.Errorf("cannot write the tree index: %w", err)
			}
			buf = buf[:0]
		}
	}
	n, err := w.Write(buf)
	total += int64(n)
	if err != nil {
		return total, fmt.Errorf("cannot write the tree index: %w", err)
	}
	return total, nil
}

// Text is the text form, as WriteTo writes it.
func (x *Index) Text() []byte {
	var b bytes.Buffer
	_, _ = x.WriteTo(&b) // a buffer takes every write
	return b.Bytes()
}

// MaxTextWindow is the largest zstd window of a compressed index in bytes. It is
// that large so that the difference of two indexes finds the older one (its
// dictionary) in reach; both texts are in memory on both sides anyway.
const MaxTextWindow = 64 << 20

// DeltaHeader is what stands before the zstd frame of an index that was
// compressed with an older one as dictionary: the "dcz" content coding of RFC
// 9842, section 5. base is the SHA-256 of the older index's text.
func DeltaHeader(base [sha256.Size]byte) []byte {
	return append([]byte{0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0}, base[:]...)
}
