package methods

import "context"

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
