package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// msgpackForm writes MessagePack; single values are the library's.
type msgpackForm struct {
	*msgpack.Encoder
	out *Spool
}

func newMsgpackForm(s *Spool) form {
	enc := msgpack.NewEncoder(s)
	enc.UseCompactInts(true)
	return msgpackForm{enc, s}
}

func (f msgpackForm) scalar(v any) error {
	switch v := v.(type) {
	case bool:
		return f.EncodeBool(v)
	case int64:
		return f.EncodeInt(v)
	case float64:
		return f.EncodeFloat64(v)
	case string:
		return f.EncodeString(v)
	}
	return f.EncodeNil()
}

// list announces its length. One that is not known yet gets the longest form,
// whose four bytes are filled in at the end.
func (f msgpackForm) list(n int) (func(int) error, error) {
	if n >= 0 {
		return func(int) error { return nil }, f.EncodeArrayLen(n)
	}
	at := f.out.Len() + 1
	_, err := f.out.Write([]byte{msgpcode.Array32, 0, 0, 0, 0})
	return func(n int) error {
		if n > math.MaxUint32 {
			return errors.New("list is too long")
		}
		return f.out.patch(at, binary.BigEndian.AppendUint32(nil, uint32(n)))
	}, err
}

func (f msgpackForm) dict(n int) error { return f.EncodeMapLen(n) }
func (f msgpackForm) endDict() error   { return nil }
func (f msgpackForm) colon() error     { return nil }
func (f msgpackForm) next(int) error   { return nil }

// unmarshalMsgpack walks the data itself and takes only single values from the
// library, whose own walk has no limit of depth: nested arrays would end the
// process with a stack overflow, which no recover catches.
func unmarshalMsgpack(data []byte, limits *nesting) (any, error) {
	in := bytes.NewReader(data)
	d := msgpackDecoder{Decoder: msgpack.NewDecoder(in), in: in, nesting: limits}
	v, err := d.next()
	if err == nil && in.Len() > 0 {
		err = errors.New("data after the value")
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("MessagePack, byte %d: %w", len(data)-in.Len(), err)
	}
	return v, nil
}

type msgpackDecoder struct {
	*msgpack.Decoder
	in *bytes.Reader
	*nesting
}

func (d *msgpackDecoder) next() (any, error) {
	code, err := d.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case code == msgpcode.Nil:
		return nil, d.DecodeNil()
	case code == msgpcode.True, code == msgpcode.False:
		return d.DecodeBool()
	case code == msgpcode.Uint64:
		n, err := d.DecodeUint64()
		if n > math.MaxInt64 {
			return nil, errors.New("integer does not fit in 64 bits")
		}
		return int64(n), err
	case msgpcode.IsFixedNum(code), code >= msgpcode.Uint8 && code <= msgpcode.Int64:
		return d.DecodeInt64()
	case code == msgpcode.Float, code == msgpcode.Double:
		f, err := d.DecodeFloat64()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errors.New("number out of range")
		}
		return f, err
	case d.bytes && d.depth == 1 && msgpcode.IsBin(code):
		return d.DecodeBytes()
	case isText(code):
		return d.text()
	case msgpcode.IsFixedArray(code), code == msgpcode.Array16, code == msgpcode.Array32:
		return d.list()
	case msgpcode.IsFixedMap(code), code == msgpcode.Map16, code == msgpcode.Map32:
		return d.object()
	}
	return nil, fmt.Errorf("no place for a value of type 0x%02x", code) // extensions
}

// isText holds for the string types, and for the binary ones because Python
// clients send bytes where text is meant.
func isText(code byte) bool {
	return msgpcode.IsString(code) || msgpcode.IsBin(code)
}

func (d *msgpackDecoder) text() (string, error) {
	s, err := d.DecodeString()
	if err == nil && !utf8.ValidString(s) {
		err = errors.New("text is not UTF-8")
	}
	return s, err
}

func (d *msgpackDecoder) list() (any, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	n, err := d.DecodeArrayLen()
	if err != nil {
		return nil, err
	}
	if n > d.in.Len() { // each element takes a byte at least
		return nil, io.ErrUnexpectedEOF
	}
	if err := d.take(n); err != nil {
		return nil, err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = d.next(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (d *msgpackDecoder) object() (any, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	n, err := d.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	if n > d.in.Len()/2 {
		return nil, io.ErrUnexpectedEOF
	}
	if err := d.take(n); err != nil {
		return nil, err
	}
	m := make(map[string]any, n)
	for range n {
		code, err := d.PeekCode()
		if err != nil {
			return nil, err
		}
		if !isText(code) {
			return nil, errors.New("a key is not text")
		}
		key, err := d.text()
		if err != nil {
			return nil, err
		}
		if _, ok := m[key]; ok {
			return nil, errDuplicate
		}
		if m[key], err = d.next(); err != nil {
			return nil, err
		}
	}
	return m, nil
}
