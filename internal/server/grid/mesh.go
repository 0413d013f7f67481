package grid

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	content "github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/enrolment"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/mesh"
	"github.com/fernwerk/fernwerk/internal/server/presence"
)

// openMesh has the server let hosts into a mesh and be its hub, if there is to be
// one.
func (g *Grid) openMesh(ctx context.Context) error {
	c := g.Mesh
	if !c.Enabled {
		return nil
	}
	mine, err := mesh.NewAuthority(g.ID, g.Now())
	if err != nil {
		return err
	}
	if _, err := g.Agree(ctx, mesh.Secret, mine); err != nil {
		return err
	}
	cfg := mesh.Config{Store: g.Store, Leases: g.Leases, Secrets: g.Secrets, ServerID: g.ID, At: c.Places(g.Reach), Presence: meshPresence{g.Presence}, Ended: identity.EndTopic,
		Every: time.Duration(cmp.Or(c.Refresh, config.DefaultMeshRefresh)) * time.Second, Dir: g.Path("mesh"), Program: c.Program,
		Device: cmp.Or(c.Device, config.DefaultMeshDevice), Port: c.UDP(), Bare: c.NoInterface, Others: g.Others, Log: g.Log, Now: g.Now,
		Identity: func(tx *store.Tx, hostID string) (mesh.Identity, error) {
			row, err := identity.Get(tx, hostID)
			if err == nil && row.NodeType == "" { // it joined again by a one-time password: it has the type that it had
				var n node.Node
				n, _, err = presence.One(tx, hostID)
				row.NodeType = n.NodeType
			}
			return mesh.Identity{NodeType: row.NodeType, Joined: row.Joined, Counts: row.HostID != "" && row.Revoked == ""}, err
		}}
	if g.Store.Shared() {
		cfg.Guard = g.Guard
	}
	for _, r := range c.Allow {
		cfg.Allow = append(cfg.Allow, r.Rule())
	}
	for _, t := range g.Config.Tunnels {
		if !t.Serve || !t.Apart {
			continue
		}
		conf, err := t.Server()
		if err != nil {
			return err
		}
		cfg.Apart = append(cfg.Apart, conf.Network.Masked())
	}
	g.mesh = mesh.New(cfg)
	return nil
}

// askMesh answers POST /v1/mesh.
func (g *Grid) askMesh(_ http.ResponseWriter, r *http.Request) (any, int, error) {
	if g.mesh == nil {
		return nil, 0, fleet.WithHint(fleet.Errorf(fleet.NotHere, "this server has no mesh"), "set enabled = true under [mesh] in its configuration")
	}
	hostID, err := g.Host(r)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot let a host into the mesh: %w", err)
	}
	var req content.Request
	if err := enrolment.Body(r, &req); err != nil {
		return nil, 0, err
	}
	at, _, _ := net.SplitHostPort(r.RemoteAddr)
	from, _ := netip.ParseAddr(at)
	out, err := g.mesh.Ask(r.Context(), hostID, from, req)
	return out, http.StatusOK, err
}

// meshPresence is presence as the mesh sees it.
type meshPresence struct{ p *presence.Presence }

func (m meshPresence) Address(ctx context.Context, hostID string) (netip.Addr, error) {
	return m.p.Address(ctx, hostID)
}

func (m meshPresence) Up(ctx context.Context, u mesh.Up) error {
	return m.p.Up(ctx, presence.Session{HostID: u.HostID, Tunnel: content.Tunnel, Epoch: u.Epoch, ClientAddress: u.From, Since: u.Since, Until: u.Until, LAN: u.LAN})
}

func (m meshPresence) Down(ctx context.Context, hostID, epoch string) error {
	return m.p.Down(ctx, hostID, content.Tunnel, epoch)
}
