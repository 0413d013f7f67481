package rpc

import (
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

// compressAbove is the size in bytes from which opsi compresses a body.
const compressAbove = 10_000

// encodings are the content encodings that both ends know, the preferred one
// first; opsi knows all but zstd, in this order.
var encodings = []string{"zstd", "lz4", "deflate", "gzip"}

// acceptable picks an encoding for an Accept-Encoding header; "" is none.
func acceptable(header string) string {
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
	for _, e := range encodings {
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

// compress packs data by one of the encodings; "" leaves it alone.
func compress(data []byte, encoding string) ([]byte, error) {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "":
		return data, nil
	case "zstd":
		return zstdEncoder().EncodeAll(data, nil), nil
	case "lz4":
		// Blocks are independent: the Java library of opsi-configed reads no others.
		w = lz4.NewWriter(&buf)
	case "deflate":
		w = zlib.NewWriter(&buf)
	case "gzip":
		w = gzip.NewWriter(&buf)
	default:
		return nil, fmt.Errorf("no content encoding %q", encoding)
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// unpack reads a whole body of at most limit bytes, counted after unpacking.
// Memory grows with what is really there, never with what a header announces.
func unpack(r io.Reader, encoding string, limit int64) ([]byte, error) {
	switch encoding = strings.ToLower(strings.TrimSpace(encoding)); encoding {
	case "", "identity":
	case "zstd":
		// The window is the decoder's buffer: at least what encoders use by default.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(max(limit, 8<<20))))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		r = d
	case "lz4":
		r = lz4.NewReader(r)
	case "deflate":
		d, err := inflate(r)
		if err != nil {
			return nil, err
		}
		r = d
	case "gzip":
		d, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = d
	default:
		return nil, fleet.Errorf(fleet.Invalid, "no content encoding %q: known are %s", encoding, strings.Join(encodings, ", "))
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
