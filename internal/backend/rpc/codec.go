package rpc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a body. The deepest that an opsi method takes
// is a list of objects with list values in a batch: six.
const maxDepth = 64

// codec is one serialisation. unmarshal returns nil, bool, int64, float64,
// string, []any or map[string]any.
type codec struct {
	mediaType string
	marshal   func(v any) ([]byte, error)
	unmarshal func(data []byte, limits nesting) (any, error)
}

var (
	jsonCodec    = &codec{"application/json", marshalJSON, unmarshalJSON}
	msgpackCodec = &codec{"application/msgpack", marshalMsgpack, unmarshalMsgpack}
)

// codecOf finds the codec that a Content-Type or Accept header names, by
// substring as opsi does ("application/x-msgpack"); nil if it names none.
func codecOf(header string) *codec {
	header = strings.ToLower(header)
	switch {
	case strings.Contains(header, "msgpack"):
		return msgpackCodec
	case strings.Contains(header, "json"):
		return jsonCodec
	}
	return nil
}

// nesting counts what a body makes us allocate: a value of one byte can cost
// fifty in memory, so that limiting the bytes alone is not enough.
type nesting struct {
	values int64 // how many more are allowed
	depth  int
	share  *share // of the memory; nil is not counted
	bytes  bool   // the outermost object may hold bytes
}

// within is the nesting allowed to a body whose limit is this many bytes: one
// value for 16 bytes. Real rows have about that many for key and value.
func within(limit int64) nesting { return nesting{values: max(limit/16, 1000)} }

var errDuplicate = errors.New("the same key twice in one object")

// take books n values before memory is allocated for them.
func (n *nesting) take(values int) error {
	if n.values -= int64(values); n.values < 0 {
		return errors.New("too many values")
	}
	if n.share != nil {
		return n.share.take(int64(values) * valueCost)
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

func marshalJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func unmarshalJSON(data []byte, limits nesting) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("JSON is not UTF-8")
	}
	d := jsonDecoder{Decoder: json.NewDecoder(bytes.NewReader(data)), nesting: limits}
	d.UseNumber()
	v, err := d.next()
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return v, nil
		}
		err = cmp.Or(err, errors.New("data after the value"))
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("JSON, byte %d: %w", d.InputOffset(), err)
}

type jsonDecoder struct {
	*json.Decoder
	nesting
}

func (d *jsonDecoder) next() (any, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	if err := d.take(1); err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case json.Delim:
		if err := d.enter(); err != nil {
			return nil, err
		}
		defer d.leave()
		if tok == '[' {
			return d.list()
		}
		return d.object()
	case json.Number:
		return number(string(tok))
	}
	return tok, nil // nil, bool, string
}

func (d *jsonDecoder) list() (any, error) {
	list := []any{}
	for d.More() {
		v, err := d.next()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

func (d *jsonDecoder) object() (any, error) {
	m := map[string]any{}
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := tok.(string) // the decoder lets nothing else through
		if _, ok := m[key]; ok {
			return nil, errDuplicate
		}
		if m[key], err = d.next(); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return m, err
}

// number is an int64 if it is written as an integer, else a finite float64.
func number(s string) (any, error) {
	if !strings.ContainsAny(s, ".eE") {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, errors.New("integer does not fit in 64 bits")
		}
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, errors.New("number out of range")
	}
	return f, nil
}
