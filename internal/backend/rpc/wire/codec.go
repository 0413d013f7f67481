package wire

import (
	"errors"
	"fmt"
	"strings"
)

// maxDepth bounds the nesting of a body. The deepest that an opsi method takes
// is a list of objects with list values in a batch: six.
const maxDepth = 64

// Codec is one serialisation.
type Codec struct {
	MediaType string
	form      func(*Spool) form
	unmarshal func(data []byte, n *nesting) (any, error)
}

// The codecs.
var (
	JSON    = &Codec{"application/json", func(s *Spool) form { return jsonForm{s} }, unmarshalJSON}
	Msgpack = &Codec{"application/msgpack", newMsgpackForm, unmarshalMsgpack}
)

// CodecOf finds the codec that a Content-Type or Accept header names, by
// substring as opsi does ("application/x-msgpack"); nil if it names none.
func CodecOf(header string) *Codec {
	header = strings.ToLower(header)
	switch {
	case strings.Contains(header, "msgpack"):
		return Msgpack
	case strings.Contains(header, "json"):
		return JSON
	}
	return nil
}

// Marshal writes a value as [Printer.Print] does.
func (c *Codec) Marshal(v any) ([]byte, error) {
	s := Spool{whole: true}
	if err := NewPrinter(c, &s).Print(v); err != nil {
		return nil, err
	}
	return s.buf, nil
}

// Unmarshal reads a body whose limit was that many bytes: it returns nil, bool,
// int64, float64, string, []any or map[string]any. One value for 16 bytes of
// the limit is taken: real rows have about that many for key and value. book,
// if there is one, is asked for memory before it is needed.
func (c *Codec) Unmarshal(data []byte, limit int64, book Book) (any, error) {
	return c.unmarshal(data, &nesting{values: max(limit/16, 1000), book: book})
}

// Book reserves memory, in bytes, or refuses.
type Book func(n int64) error

// valueCost is about what one decoded value needs, in bytes, beside its text.
const valueCost = 128

// nesting counts what a body makes us allocate: a value of one byte can cost
// fifty in memory, so that limiting the bytes alone is not enough.
type nesting struct {
	values int64 // how many more are allowed
	depth  int
	book   Book // nil is not counted
	bytes  bool // the outermost object may hold bytes
}

var errDuplicate = errors.New("the same key twice in one object")

// take books n values before memory is allocated for them.
func (n *nesting) take(values int) error {
	if n.values -= int64(values); n.values < 0 {
		return errors.New("too many values")
	}
	if n.book != nil {
		return n.book(int64(values) * valueCost)
	}
	return nil
}

func (n *nesting) enter() error {
	if n.depth++; n.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	return nil
}

func (n *nesting) leave() { n.depth-- }
