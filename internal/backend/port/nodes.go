package port

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Nodes is what is known of nodes: their tunnels and their names.
type Nodes interface {
	Up(ctx context.Context, r node.Report) error
	Down(ctx context.Context, hostID, tunnel, epoch string) error
	// Facts are the sessions that decide something, of all hosts.
	Facts(tx *store.Tx) ([]node.Fact, error)
	// Names are those that are not there by a plan alone; NotHere without a zone.
	Names(ctx context.Context) ([]node.Record, error)
}
