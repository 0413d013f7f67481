package rpc

import (
	"bytes"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// What a message bus carries is encoded as bodies are, under the same limits,
// and its errors are those of calls.

// EncodeFrame makes MessagePack of plain data, packed by one of the encodings,
// "" for none. Bytes are kept as such in the values of v itself.
func EncodeFrame(v map[string]any, encoding string) ([]byte, error) {
	out := make(map[string]any, len(v))
	for name, value := range v {
		if b, isBytes := value.([]byte); isBytes {
			out[name] = b
			continue
		}
		var err error
		if out[name], err = plain(value); err != nil {
			return nil, err
		}
	}
	data, err := marshalMsgpack(out)
	if err != nil {
		return nil, err
	}
	return compress(data, encoding)
}

// DecodeFrame reads one MessagePack object of at most limit bytes, before and
// after unpacking. Bytes stay bytes in its own values; below them they are text.
func DecodeFrame(data []byte, encoding string, limit int64) (map[string]any, error) {
	if encoding != "" {
		var err error
		if data, err = unpack(bytes.NewReader(data), encoding, limit); err != nil {
			return nil, err
		}
	}
	if int64(len(data)) > limit {
		return nil, fleet.Errorf(fleet.TooLarge, "it is larger than %d bytes", limit)
	}
	most := within(limit)
	most.bytes = true
	v, err := unmarshalMsgpack(data, most)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fleet.Errorf(fleet.Invalid, "it is no object")
	}
	return m, nil
}

// Fault is the error object of JSON-RPC 2.0 with opsi's class and our code.
// Details are for administrators: an internal error's text is left out of the
// message.
func Fault(err error, details bool) map[string]any {
	f := &fault{code: fleet.CodeOf(err), text: err.Error(), hint: fleet.HintOf(err)}
	if details {
		f.details = f.text
	}
	if f.code == fleet.Internal {
		f.text = "internal error"
	}
	return f.object(true)
}

// ParseFault rebuilds the error from an error object, or from a bare text.
func ParseFault(v any) error { return parseFault(v) }
