package rpc

import (
	"net/http"
	"net/url"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// request is one call of a body.
type request struct {
	id     any // nil, string, int64 or float64
	v2     bool
	method string
	params methods.Params
}

// parseRequest reads a call. When it fails, what is known of the request (its
// id and version) comes with the error, for the answer.
func parseRequest(v any) (request, error) {
	r := request{id: int64(0)}
	m, ok := v.(map[string]any)
	if !ok {
		return r, fleet.Errorf(fleet.Invalid, "cannot read request: it is no object")
	}
	r.v2 = m["jsonrpc"] == "2.0"
	if id, ok := m["id"]; ok {
		switch id.(type) {
		case nil, string, int64, float64:
			r.id = id
		default:
			return r, fleet.Errorf(fleet.Invalid, "cannot read request: id is neither text nor number")
		}
	}
	if r.method, _ = m["method"].(string); r.method == "" {
		return r, fleet.Errorf(fleet.Invalid, "cannot read request: no method")
	}
	switch params := m["params"].(type) {
	case nil:
	case []any:
		r.params.Positional = params
	case map[string]any:
		r.params.Named = params
	default:
		return r, fleet.Errorf(fleet.Invalid, "cannot read request: params is neither list nor dictionary")
	}
	return r, nil
}

// encode is the request as a client sends it. Parameters by position and by
// name become a list with a trailing dictionary, as opsi clients write filters.
func (r *request) encode() map[string]any {
	var params any = append([]any{}, r.params.Positional...)
	switch {
	case len(r.params.Named) > 0 && len(r.params.Positional) > 0:
		params = append(r.params.Positional[:len(r.params.Positional):len(r.params.Positional)], r.params.Named)
	case len(r.params.Named) > 0:
		params = r.params.Named
	}
	return map[string]any{"jsonrpc": "2.0", "id": r.id, "method": r.method, "params": params}
}

// answer is the envelope of a result or, when f is not nil, of an error.
func (r *request) answer(result any, f *fault) map[string]any {
	switch {
	case r.v2 && f != nil:
		return map[string]any{"jsonrpc": "2.0", "id": r.id, "error": f.object(true)}
	case r.v2:
		return map[string]any{"jsonrpc": "2.0", "id": r.id, "result": result}
	case f != nil:
		return map[string]any{"id": r.id, "result": nil, "error": f.object(false)}
	}
	return map[string]any{"id": r.id, "result": result, "error": nil}
}

// readBody reads and decodes the body, or the query string of a GET, and says
// which codec the answer takes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, s *share) (v any, out *wire.Codec, err error) {
	in := wire.CodecOf(r.Header.Get("Content-Type"))
	if out = in; in == nil {
		in = wire.JSON
		if out = wire.CodecOf(r.Header.Get("Accept")); out == nil {
			out = wire.JSON
		}
	}
	var data []byte
	if r.Method == http.MethodGet {
		in = wire.JSON
		var text string
		text, err = url.PathUnescape(r.URL.RawQuery)
		data = []byte(text)
	} else {
		// The packed size has the same limit: a body that grows when packed is no use.
		data, err = wire.Unpack(http.MaxBytesReader(w, r.Body, limit), r.Header.Get("Content-Encoding"), limit, s.take)
	}
	if err == nil && len(data) == 0 {
		err = fleet.Errorf(fleet.Invalid, "body is empty")
	}
	if err == nil {
		v, err = in.Unmarshal(data, limit, s.take)
	}
	return v, out, err
}
