package grid

import (
	"context"
	"net"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/presence/report"
)

// Reports is the name in the data folder of the folder for reports that waited
// for the server.
const Reports = "reports"

var lookup = (&net.Resolver{}).LookupAddr

// nodeType is what a host joined as.
func nodeType(tx *store.Tx, hostID string) (string, error) {
	r, err := identity.Get(tx, hostID)
	return r.NodeType, err
}

// take takes a report that waited.
func (g *Grid) take(ctx context.Context, r report.Report) error {
	if !r.Up {
		return g.Down(ctx, r.HostID, r.Tunnel, r.Epoch)
	}
	return g.Up(ctx, node.Report{HostID: r.HostID, Tunnel: r.Tunnel, Epoch: r.Epoch, NodeType: r.NodeType,
		Address: r.Address, ClientAddress: r.ClientAddress, Since: time.Unix(r.Since, 0)})
}

// Up is [presence.Presence.Up].
func (g *Grid) Up(ctx context.Context, r node.Report) error {
	return g.Presence.Up(ctx, presence.Session{HostID: r.HostID, Tunnel: r.Tunnel, Epoch: r.Epoch, NodeType: r.NodeType,
		Address: r.Address, ClientAddress: r.ClientAddress, Since: r.Since})
}

// Down is [presence.Presence.Down].
func (g *Grid) Down(ctx context.Context, hostID, tunnel, epoch string) error {
	return g.Presence.Down(ctx, hostID, tunnel, epoch)
}

// Facts are the sessions of all hosts.
func (g *Grid) Facts(tx *store.Tx) ([]node.Fact, error) { return presence.Facts(tx, "") }
