package server

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"net/netip"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/metrics"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/tunnel"
	"github.com/fernwerk/fernwerk/internal/server/tunnel/gate"
)

// serveTunnels makes the tunnels that this server runs.
func (s *Server) serveTunnels(st *store.Store, m *member, authority *ca.Authority, present *presence.Presence) (*tunnel.All, error) {
	t := &tunnel.All{Dir: s.path("tunnel"), Log: s.cfg.Log}
	for _, c := range s.cfg.Tunnels {
		if !c.Serve {
			continue
		}
		conf, err := c.Server()
		if err != nil {
			return nil, err
		}
		changed, stop := st.Watch(identity.EndTopic, tunnel.Topic)
		s.add(func() error { stop(); return nil })
		g := &gate.Gate{Name: c.Name, Network: conf.Network, Dir: s.path("tunnel", c.Name), Store: st, Now: s.cfg.Now, Authority: authority,
			Identity: goodIdentity, Node: presence.One, Address: present.Address, Certify: authority.Sign}
		t.Servers = append(t.Servers, tunnel.NewServer(tunnel.Config{Name: c.Name, Dir: g.Dir, Conf: conf, Seal: seal(m, c.Name), Changed: changed, Log: s.cfg.Log,
			Files: g.Files, CRL: g.CRL, Judge: g.Judge, Over: g.Over, Nodes: told{present}}))
	}
	return t, nil
}

// countTunnels has their numbers asked for.
func countTunnels(t *tunnel.All, m *metrics.Metrics) {
	t.Ask(func(grows bool, name, help string, read func() float64) {
		kind := metrics.Gauge
		if grows {
			kind = metrics.Counter
		}
		m.Ask(kind, name, help, read)
	})
}

// seal is a tunnel's key of tls-crypt-v2: the same at all servers of a database.
func seal(m *member, name string) (k openvpn.Seal) {
	root := m.Derive("tls-crypt-v2 " + name)
	key, err := hkdf.Expand(sha256.New, root[:], "fernwerk tls-crypt-v2", len(k))
	if err != nil {
		panic(err) // it fails for lengths only
	}
	copy(k[:], key)
	return k
}

// goodIdentity is the node type of a host, if its identity is good.
func goodIdentity(tx *store.Tx, hostID string) (nodeType string, err error) {
	row, err := identity.Get(tx, hostID)
	switch {
	case err != nil:
	case row.HostID == "":
		err = fleet.Errorf(fleet.Denied, "there is no host %s", hostID)
	case row.Revoked != "":
		err = fleet.Errorf(fleet.Denied, "the identity of %s was revoked", hostID)
	}
	return row.NodeType, err
}

// told has presence hear of tunnels.
type told struct{ *presence.Presence }

func sessionOf(name string, s tunnel.Session) presence.Session {
	var from netip.Addr
	if s.From.IsValid() {
		from = s.From.Addr()
	}
	return presence.Session{HostID: s.HostID, Tunnel: name, Epoch: s.Epoch, Address: s.Address, ClientAddress: from, Since: s.Since}
}

func (t told) Up(ctx context.Context, name string, s tunnel.Session) error {
	return t.Presence.Up(ctx, sessionOf(name, s))
}

func (t told) Down(ctx context.Context, name string, s tunnel.Session) error {
	return t.Presence.Down(ctx, s.HostID, name, s.Epoch)
}

func (t told) Sync(ctx context.Context, name string, all []tunnel.Session) error {
	held := make([]presence.Session, 0, len(all))
	for _, s := range all {
		held = append(held, sessionOf(name, s))
	}
	return t.Presence.Sync(ctx, name, held)
}
