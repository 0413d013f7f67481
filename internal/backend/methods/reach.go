package methods

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Reach is how hosts are reached. The rows are whole, credentials included.
type Reach interface {
	// Ask calls a method of a host's control interface.
	Ask(ctx context.Context, host fleet.Row, method string, params []any) (any, error)
	// Reachable tells whether Ask would find somebody.
	Reachable(ctx context.Context, host fleet.Row) bool
	// Wake sends what wakes a machine that sleeps; nobody answers that.
	Wake(ctx context.Context, host fleet.Row) error
}

// Reach is the service's way to hosts; without one the error is NotHere.
func (c *Call) Reach() (Reach, error) {
	if c.s.ports.Reach == nil {
		return nil, fleet.Errorf(fleet.NotHere, "cannot call %s here: only a server reaches hosts", c.Method.Name)
	}
	return c.s.ports.Reach, nil
}
