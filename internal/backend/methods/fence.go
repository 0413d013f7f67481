package methods

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

type fenceKey struct{}

// Fenced is a context whose calls change nothing unless fence allows it, which
// is asked in the same transaction. So the holder of a lease makes sure that
// what it does through methods counts only while the lease is its own. Over a
// wire a fence does not travel.
func Fenced(ctx context.Context, fence func(*store.Tx) error) context.Context {
	return context.WithValue(ctx, fenceKey{}, fence)
}

// fenced puts the context's fence, if it has one, before a change.
func (c *Call) fenced(fn func(*store.Tx) error) func(*store.Tx) error {
	fence, ok := c.Context.Value(fenceKey{}).(func(*store.Tx) error)
	if !ok {
		return fn
	}
	return func(tx *store.Tx) error {
		if err := fence(tx); err != nil {
			return err
		}
		return fn(tx)
	}
}
