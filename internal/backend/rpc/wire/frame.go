package wire

import (
	"bytes"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// EncodeFrame makes MessagePack of plain data, packed by one of the encodings,
// "" for none. Bytes are kept as such in the values of v itself.
func EncodeFrame(v map[string]any, encoding string) ([]byte, error) {
	s := Spool{whole: true}
	p := NewPrinter(Msgpack, &s)
	p.bytes = true
	if err := p.Print(v); err != nil {
		return nil, err
	}
	return Pack(s.buf, encoding)
}

// DecodeFrame reads one MessagePack object of at most limit bytes, before and
// after unpacking. Bytes stay bytes in its own values; below them they are text.
func DecodeFrame(data []byte, encoding string, limit int64) (map[string]any, error) {
	if encoding != "" {
		var err error
		if data, err = Unpack(bytes.NewReader(data), encoding, limit, nil); err != nil {
			return nil, err
		}
	}
	if int64(len(data)) > limit {
		return nil, fleet.Errorf(fleet.TooLarge, "it is larger than %d bytes", limit)
	}
	v, err := unmarshalMsgpack(data, &nesting{values: max(limit/16, 1000), bytes: true})
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fleet.Errorf(fleet.Invalid, "it is no object")
	}
	return m, nil
}
