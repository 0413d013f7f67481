package wire

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

func unmarshalJSON(data []byte, limits *nesting) (any, error) {
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
	*nesting
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

// jsonForm writes JSON. Text is as short as it may be: only what RFC 8259 wants
// escaped is.
type jsonForm struct{ out *Spool }

func (f jsonForm) scalar(v any) error {
	var room [64]byte
	b := room[:0]
	switch v := v.(type) {
	case nil:
		b = append(b, "null"...)
	case bool:
		b = strconv.AppendBool(b, v)
	case int64:
		b = strconv.AppendInt(b, v, 10)
	case float64:
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	case string:
		b = appendText(b, v)
	}
	_, err := f.out.Write(b)
	return err
}

func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	done := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[done:]...), '"')
}

func (f jsonForm) mark(c byte) error { return f.out.WriteByte(c) }

func (f jsonForm) list(int) (func(int) error, error) {
	return func(int) error { return f.mark(']') }, f.mark('[')
}

func (f jsonForm) dict(int) error { return f.mark('{') }
func (f jsonForm) endDict() error { return f.mark('}') }
func (f jsonForm) colon() error   { return f.mark(':') }

func (f jsonForm) next(i int) error {
	if i == 0 {
		return nil
	}
	return f.mark(',')
}
