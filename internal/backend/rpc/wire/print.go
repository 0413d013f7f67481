package wire

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// form is how a codec writes the parts of a value.
type form interface {
	scalar(v any) error // nil, bool, int64, float64 or text that is UTF-8
	// list begins a list of n elements, -1 if that is not known yet. end is
	// told how many came.
	list(n int) (end func(n int) error, err error)
	dict(n int) error
	endDict() error
	next(i int) error // before the element, or the key, i
	colon() error     // between a key and its value
}

// Printer writes plain data into a spool, piece by piece.
type Printer struct {
	form
	keys  []string // of the dictionaries under way
	depth int      // of dictionaries
	bytes bool     // the outermost one may hold bytes
}

// NewPrinter makes a printer.
func NewPrinter(c *Codec, s *Spool) *Printer { return &Printer{form: c.form(s)} }

// Print writes a value: what Backends return, and lists that are made while
// they are written. Integers become int64, a nil list an empty one (a Python
// client iterates over it), and text that is not UTF-8 (a log, say) gets U+FFFD
// where it is broken. After an error the spool holds a part: truncate it.
func (p *Printer) Print(v any) error {
	switch v := v.(type) {
	case nil, bool, int64:
		return p.scalar(v)
	case int:
		return p.scalar(int64(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("number is not finite")
		}
		return p.scalar(v)
	case string:
		return p.scalar(strings.ToValidUTF8(v, "\uFFFD"))
	case []any:
		return printList(p, v)
	case []string:
		return printList(p, v)
	case []fleet.Row:
		return printList(p, v)
	case []map[string]any:
		return printList(p, v)
	case fleet.Row:
		return p.dictionary(v)
	case map[string]any:
		return p.dictionary(v)
	case []byte:
		if f, ok := p.form.(msgpackForm); ok && p.bytes && p.depth == 1 {
			return f.EncodeBytes(v)
		}
	case iter.Seq2[any, error]:
		return printStream(p, v)
	case iter.Seq2[fleet.Row, error]:
		return printStream(p, v)
	}
	return fmt.Errorf("a %T is no plain data", v)
}

// List writes a list of n elements, each by a call of its own.
func (p *Printer) List(n int, each func(i int) error) error {
	end, err := p.list(n)
	if err != nil {
		return err
	}
	for i := range n {
		if err := p.next(i); err != nil {
			return err
		}
		if err := each(i); err != nil {
			return err
		}
	}
	return end(n)
}

func printList[T any](p *Printer, list []T) error {
	return p.List(len(list), func(i int) error { return p.Print(list[i]) })
}

func printStream[T any](p *Printer, values iter.Seq2[T, error]) error {
	end, err := p.list(-1)
	if err != nil {
		return err
	}
	n := 0
	for v, err := range values {
		if err != nil {
			return err
		}
		if err := p.next(n); err != nil {
			return err
		}
		if err := p.Print(v); err != nil {
			return err
		}
		n++
	}
	return end(n)
}

// dictionary writes a map in the order of its keys, so that equal data are
// equal bytes.
func (p *Printer) dictionary(m map[string]any) error {
	start := len(p.keys)
	p.depth++
	defer func() { p.keys, p.depth = p.keys[:start], p.depth-1 }()
	for k := range m {
		if !utf8.ValidString(k) {
			return p.dictionary(mended(m))
		}
		p.keys = append(p.keys, k)
	}
	slices.Sort(p.keys[start:])
	if err := p.dict(len(m)); err != nil {
		return err
	}
	for i := range len(m) {
		key := p.keys[start+i] // by index: what lies deeper may move the list
		if err := p.next(i); err != nil {
			return err
		}
		if err := p.scalar(key); err != nil {
			return err
		}
		if err := p.colon(); err != nil {
			return err
		}
		if err := p.Print(m[key]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return p.endDict()
}

// mended is a map whose keys are UTF-8.
func mended(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out[strings.ToValidUTF8(k, "\uFFFD")] = m[k]
	}
	return out
}
