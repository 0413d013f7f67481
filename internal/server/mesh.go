package server

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	content "github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/enrolment"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/mesh"
	"github.com/fernwerk/fernwerk/internal/server/presence"
)

// meshes is the server's mesh, or that it has none.
type meshes struct {
	part *mesh.Mesh // nil for none
	host func(*http.Request) (string, error)
}

// meshes has the server let hosts into a mesh and be its hub, if there is to be
// one.
func (s *Server) meshes(ctx context.Context, st *store.Store, m *member, j *joining, n *nodes, ports *methods.Ports) (out meshes, err error) {
	c := s.cfg.Mesh
	if !c.Enabled {
		return out, nil
	}
	mine, err := mesh.NewAuthority(s.id, s.cfg.Now())
	if err != nil {
		return out, err
	}
	text, err := m.Agree(ctx, mesh.Secret, mine)
	if err != nil {
		return out, err
	}
	authority, err := certs.Read(text)
	if err != nil {
		return out, err
	}
	cfg := mesh.Config{Store: st, Leases: m.leases, Authority: authority, ServerID: s.id, At: c.Places(s.reach), Presence: meshPresence{n.presence}, Ended: identity.EndTopic,
		Every: time.Duration(cmp.Or(c.Refresh, config.DefaultMeshRefresh)) * time.Second, Dir: s.path("mesh"), Program: c.Program,
		Device: cmp.Or(c.Device, config.DefaultMeshDevice), Port: c.UDP(), Bare: c.NoInterface, Log: s.cfg.Log, Now: s.cfg.Now,
		Identity: func(tx *store.Tx, hostID string) (mesh.Identity, error) {
			row, err := identity.Get(tx, hostID)
			return mesh.Identity{NodeType: row.NodeType, Joined: row.Joined, Counts: row.HostID != "" && row.Revoked == ""}, err
		}}
	for _, r := range c.Allow {
		cfg.Allow = append(cfg.Allow, r.Rule())
	}
	out = meshes{part: mesh.New(cfg), host: j.tunnels(nil).Host}
	ports.Mesh = out.part.Paths
	return out, nil
}

// serve adds the hub to what runs.
func (m meshes) serve(g *run.Group) {
	if m.part != nil {
		g.Add("mesh", m.part)
	}
}

// ask answers POST /v1/mesh.
func (m meshes) ask(_ http.ResponseWriter, r *http.Request) (any, int, error) {
	if m.part == nil {
		return nil, 0, fleet.WithHint(fleet.Errorf(fleet.NotHere, "this server has no mesh"), "set enabled = true under [mesh] in its configuration")
	}
	hostID, err := m.host(r)
	if err != nil {
		return nil, 0, err
	}
	var req content.Request
	if err := enrolment.Body(r, &req); err != nil {
		return nil, 0, err
	}
	at, _, _ := net.SplitHostPort(r.RemoteAddr)
	from, _ := netip.ParseAddr(at)
	out, err := m.part.Ask(r.Context(), hostID, from, req)
	return out, http.StatusOK, err
}

// meshPresence is presence as the mesh sees it.
type meshPresence struct{ p *presence.Presence }

func (m meshPresence) Address(ctx context.Context, hostID string) (netip.Addr, error) {
	return m.p.Address(ctx, hostID)
}

func (m meshPresence) Up(ctx context.Context, u mesh.Up) error {
	return m.p.Up(ctx, presence.Session{HostID: u.HostID, Tunnel: mesh.Tunnel, Epoch: u.Epoch, ClientAddress: u.From, Since: u.Since, Until: u.Until, LAN: u.LAN})
}

func (m meshPresence) Down(ctx context.Context, hostID, epoch string) error {
	return m.p.Down(ctx, hostID, mesh.Tunnel, epoch)
}
