package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Encodings are the content encodings that both ends know, the preferred one
// first; opsi knows all but zstd, in this order.
var Encodings = []string{"zstd", "lz4", "deflate", "gzip"}

// Acceptable picks an encoding for an Accept-Encoding header; "" is none.
func Acceptable(header string) string {
	var named []string
	for part := range strings.SplitSeq(strings.ToLower(header), ",") {
		name, params, _ := strings.Cut(part, ";")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			weight, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
		}
		if weight > 0 {
			named = append(named, strings.TrimSpace(name))
		}
	}
	for _, e := range Encodings {
		if slices.Contains(named, e) {
			return e
		}
	}
	return ""
}

// zstdEncoder is stateless in use (EncodeAll) and costly to make.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err) // only for wrong options
	}
	return e
})

// Pack compresses data by one of the [Encodings]; "" leaves it alone.
func Pack(data []byte, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return data, nil
	case "zstd":
		return zstdEncoder().EncodeAll(data, nil), nil
	}
	var buf bytes.Buffer
	w, err := NewPacker(&buf, encoding)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// NewPacker compresses what is written to it. Its memory is a few MiB however
// much that is.
func NewPacker(w io.Writer, encoding string) (io.WriteCloser, error) {
	switch encoding {
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20),
			zstd.WithEncoderLevel(zstd.SpeedFastest))
	case "lz4":
		// Blocks are independent: the Java library of opsi-configed reads no others.
		p := lz4.NewWriter(w)
		return p, p.Apply(lz4.BlockSizeOption(lz4.Block256Kb))
	case "deflate":
		return zlib.NewWriter(w), nil
	case "gzip":
		return gzip.NewWriter(w), nil
	}
	return nil, fmt.Errorf("no content encoding %q", encoding)
}

// Unpack reads a whole body of at most limit bytes, counted after unpacking.
// Memory grows with what is really there, never with what a header announces.
func Unpack(r io.Reader, encoding string, limit int64, book Book) ([]byte, error) {
	d, err := unpacker(r, encoding, book)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	r = d
	if book != nil {
		r = counted{d, book}
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fleet.Errorf(fleet.TooLarge, "body is larger than %d bytes", limit)
	}
	return data, nil
}

// window is the most that a decoder may keep of what it has unpacked: what
// zstd asks every decoder for (RFC 8878 3.1.1.1.2), and lz4's largest blocks.
const window = 8 << 20

// unpacker is a reader of what a body holds. It books the decoder's own memory.
func unpacker(r io.Reader, encoding string, book Book) (io.ReadCloser, error) {
	encoding = strings.ToLower(strings.TrimSpace(encoding))
	if encoding == "" || encoding == "identity" {
		return io.NopCloser(r), nil
	}
	in := bufio.NewReader(r)
	if book != nil {
		if err := book(decoderCost(in, encoding)); err != nil {
			return nil, err
		}
	}
	switch encoding {
	case "zstd":
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case "lz4":
		return io.NopCloser(lz4.NewReader(in)), nil
	case "deflate":
		d, err := inflate(in)
		return io.NopCloser(d), err
	case "gzip":
		return gzip.NewReader(in)
	}
	return nil, fleet.Errorf(fleet.Invalid, "no content encoding %q: known are %s", encoding, strings.Join(Encodings, ", "))
}

// decoderCost is what the decoder will need for the frame that the body begins
// with. Later frames may be larger; a client that sends several is none of ours.
func decoderCost(in *bufio.Reader, encoding string) int64 {
	switch encoding {
	case "zstd":
		head, _ := in.Peek(zstd.HeaderMaxSize)
		var h zstd.Header
		if h.Decode(head) != nil {
			return 0 // the decoder says what is wrong
		}
		return int64(min(h.WindowSize, window))
	case "lz4": // the block size stands in bits 4 to 6 of byte 5: 64 KiB times 4 a step
		head, _ := in.Peek(6)
		if len(head) < 6 {
			return 0
		}
		return 2 * 64 << 10 << (2 * max(int64(head[5]>>4&7)-4, 0))
	}
	return 0
}

// inflate reads "deflate", which is zlib by RFC 9110 and bare DEFLATE by the
// habit of some clients. A zlib header is told by RFC 1950 section 2.2: method
// 8, and the first two bytes a multiple of 31.
func inflate(r io.Reader) (io.Reader, error) {
	var head [2]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	r = io.MultiReader(bytes.NewReader(head[:n]), r)
	if head[0]&15 == 8 && (int(head[0])<<8+int(head[1]))%31 == 0 {
		return zlib.NewReader(r)
	}
	return flate.NewReader(r), nil
}

// counted is a reader whose bytes are booked.
type counted struct {
	io.Reader
	book Book
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if bookErr := c.book(int64(n)); bookErr != nil {
		return 0, bookErr
	}
	return n, err
}
