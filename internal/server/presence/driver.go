package presence

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Driver takes nodes to one other side: a DNS server, a scheduler. Its methods
// are called from one goroutine, on one of the servers at a time; their context
// ends after [patience].
type Driver interface {
	// Name is short, and the driver's alone: "oar", "dns ns1.example.org".
	Name() string
	// Read is all that is there, by the node's fully qualified name. It may hold
	// what is not ours, which stays as it is.
	Read(ctx context.Context) (map[string]node.State, error)
	// Apply takes one node to what it shall be. It may be called again for what is
	// done already.
	Apply(ctx context.Context, c node.Change) error
}

// A Chooser is a driver for some of the nodes. What it found of the others
// counts as gone.
type Chooser interface{ Wants(n node.Node) bool }

// A Differ is a driver that knows better than [node.Differs] what differs.
type Differ interface {
	Differs(want node.Node, is node.State, found bool) (why string)
}

// A Doubter is a driver that wants to read again before long: what it said may not
// have been heard, or the other side is about to change by itself. 0 is no doubt.
type Doubter interface{ Again() time.Duration }

// resync is when a driver reads again although nothing happened.
func (p *Presence) resync(d Driver) time.Duration {
	if d, doubts := d.(Doubter); doubts {
		if after := d.Again(); after > 0 {
			return min(after, p.Resync)
		}
	}
	return p.Resync
}

func wants(d Driver, n node.Node) bool {
	c, choosy := d.(Chooser)
	return !choosy || c.Wants(n)
}

func differs(d Driver, want node.Node, is node.State, found bool) string {
	if d, ok := d.(Differ); ok {
		return d.Differs(want, is, found)
	}
	return node.Differs(want, is, found)
}
