package methods

import (
	"context"
	"iter"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Role is what an actor may do in general; the method table says what each
// role may do with each method.
type Role string

// The roles.
const (
	Administrator Role = "administrator" // everything
	Operator      Role = "operator"      // everyday work on the hosts of its groups
	Reader        Role = "reader"        // looks, changes nothing, sees no secret
	Depot         Role = "depot"         // a depot server
	Host          Role = "host"          // a client: itself, and what it needs to know
)

// Actor is who calls: decided by authentication, never by the request's body.
type Actor struct {
	Role    Role
	ID      string // host id or user name
	Address string // network address, for the journal
	Request string // request id, for the journal and the log
}

// Params are the arguments of a Do: by position, by name, or both (opsi
// clients send filters by name after positional attributes).
type Params struct {
	Positional []any
	Named      map[string]any
}

// Pos makes positional parameters.
func Pos(args ...any) Params { return Params{Positional: args} }

// Backend answers questions about the fleet: the seed's Config-Backend on the
// server, its Client-Cache-Backend on the agent, or a connection to either.
//
// Results are plain data: nil, bool, int64, float64, string, []any,
// map[string]any, fleet.Row and []fleet.Row. Errors carry a fleet.Code.
type Backend interface {
	Call(ctx context.Context, actor Actor, method string, params Params) (any, error)
}

// Objects and Values are lists that are made while they are read: rows come one
// by one from the database, whose state is held until the list ends or its
// reader stops. An error is the last that comes, and makes the list none.
type (
	Objects = iter.Seq2[fleet.Row, error]
	Values  = iter.Seq2[any, error]
)

// Streamer is a Backend that can give large lists without having them in memory.
type Streamer interface {
	// Stream is [Backend.Call], except that a list may be [Objects] or [Values].
	Stream(ctx context.Context, actor Actor, method string, params Params) (any, error)
}

// collect makes a result of Stream one of Call.
func collect(v any, err error) (any, error) {
	switch v := v.(type) {
	case Objects:
		return gather(v)
	case Values:
		return gather(v)
	}
	return v, err
}

func gather[T any](list iter.Seq2[T, error]) (any, error) {
	out := []T{}
	for v, err := range list {
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
