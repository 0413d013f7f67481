package rpc

import (
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// What a message bus carries is encoded as bodies are, under the same limits,
// and its errors are those of calls.

// EncodeFrame is [wire.EncodeFrame].
func EncodeFrame(v map[string]any, encoding string) ([]byte, error) {
	return wire.EncodeFrame(v, encoding)
}

// DecodeFrame is [wire.DecodeFrame].
func DecodeFrame(data []byte, encoding string, limit int64) (map[string]any, error) {
	return wire.DecodeFrame(data, encoding, limit)
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
