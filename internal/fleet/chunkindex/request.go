package chunkindex

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
)

// Range is the ordinals from First up to, not including, End.
type Range struct{ First, End int }

// Ranges are ordinals: ascending, not empty, neither overlapping nor adjacent.
// Its text form is the last ordinal included, as in "0-11999,12005".
type Ranges []Range

// Add puts n behind the ordinals in r; n must be greater than all of them.
func (r *Ranges) Add(n int) {
	if l := len(*r); l > 0 && (*r)[l-1].End == n {
		(*r)[l-1].End++
		return
	}
	*r = append(*r, Range{n, n + 1})
}

// Len is the number of ordinals.
func (r Ranges) Len() int {
	n := 0
	for _, part := range r {
		n += part.End - part.First
	}
	return n
}

// All walks the ordinals in ascending order.
func (r Ranges) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, part := range r {
			for n := part.First; n < part.End; n++ {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// String is the text form.
func (r Ranges) String() string {
	var b []byte
	for i, part := range r {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(part.First), 10)
		if part.End-part.First > 1 {
			b = append(b, '-')
			b = strconv.AppendInt(b, int64(part.End-1), 10)
		}
	}
	return string(b)
}

// ParseRanges reads the text form of ordinals below limit. What String would
// not have written is refused.
func ParseRanges(text string, limit int) (Ranges, error) {
	r, err := parseRanges(text, limit)
	if err != nil {
		return nil, fmt.Errorf("cannot read the chunk numbers: %w", err)
	}
	return r, nil
}

func parseRanges(text string, limit int) (Ranges, error) {
	r := make(Ranges, 0, strings.Count(text, ",")+1)
	for part := range strings.SplitSeq(text, ",") {
		first, last, pair := strings.Cut(part, "-")
		a, ok := ordinal(first)
		b := a
		if pair && ok {
			b, ok = ordinal(last)
			ok = ok && b > a
		}
		if !ok {
			return nil, fmt.Errorf("%.40q is not a range", part)
		}
		if b >= limit {
			return nil, fmt.Errorf("there is no chunk %d", b)
		}
		if len(r) > 0 && a <= r[len(r)-1].End {
			return nil, fmt.Errorf("%.40q does not stand apart from the range before it", part)
		}
		r = append(r, Range{a, b + 1})
	}
	return r, nil
}

func ordinal(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil && strconv.FormatUint(n, 10) == s
}

// Request is the body of POST /v1/depot/{product}/chunks: two lines, the tree's
// digest in hexadecimal and the wanted chunks. The answer is zstd frames whose
// content is those chunks, in order, with nothing in between.
type Request struct {
	Tree [sha256.Size]byte
	Want Ranges
}

// ErrorTrailer is the HTTP trailer by which a server says why an answer ends
// before all wanted chunks were sent: a fleet.Code, a colon, a blank and a text.
const ErrorTrailer = "Fernwerk-Error"

// MaxRequest is the longest body in bytes.
const MaxRequest = 16 << 20

// Text is the body.
func (q Request) Text() string { return hex.EncodeToString(q.Tree[:]) + "\n" + q.Want.String() + "\n" }

// ReadRequest reads a body up to its end. The caller checks the ranges against
// the index of the tree that it names.
func ReadRequest(r io.Reader) (Request, error) {
	q, err := readRequest(r)
	if err != nil {
		return Request{}, fmt.Errorf("cannot read the request for chunks: %w", err)
	}
	return q, nil
}

func readRequest(r io.Reader) (q Request, err error) {
	body, err := io.ReadAll(&bounded{r, MaxRequest})
	if err != nil {
		return q, err
	}
	digest, rest, ok := bytes.Cut(body, []byte{'\n'})
	if !ok || !decodeHex(q.Tree[:], string(digest)) {
		return q, errors.New("want a tree's digest in the first line")
	}
	ranges, ok := bytes.CutSuffix(rest, []byte{'\n'})
	if !ok {
		return q, errors.New("the line end is missing")
	}
	q.Want, err = ParseRanges(string(ranges), 1<<31-1)
	return q, err
}
