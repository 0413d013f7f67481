package rpc

import (
	"context"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

// Call is one call of a batch.
type Call struct {
	Method string
	Params methods.Params
}

// Answer is what a call of a batch came to.
type Answer struct {
	Result any
	Err    error
}

// Batch asks for several calls in one round trip; servers of ours take 1,000.
// The answers are in the order of the calls. An error of its own means that the
// whole batch failed: which calls were done is not known.
func (c *Client) Batch(ctx context.Context, calls []Call) ([]Answer, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	reqs, bodies := make([]request, len(calls)), make([]any, len(calls))
	for i, call := range calls {
		reqs[i] = request{id: c.id.Add(1), method: call.Method, params: call.Params}
		bodies[i] = reqs[i].encode()
	}
	v, err := c.post(ctx, fmt.Sprintf("call %d methods", len(calls)), bodies)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok { // opsi answers a batch of one without the list
		list = []any{v}
	}
	byID := map[any]any{} // by int64: an id from the wire may be no map key
	for _, v := range list {
		m, _ := v.(map[string]any)
		if id, ok := m["id"].(int64); ok {
			byID[id] = v
		}
	}
	answers := make([]Answer, len(calls))
	for i, req := range reqs {
		answers[i].Result, answers[i].Err = c.result(byID[req.id], req)
	}
	return answers, nil
}
