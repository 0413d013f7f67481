package grid

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/tunnel"
	"github.com/fernwerk/fernwerk/internal/server/tunnel/gate"
)

// openTunnels makes the tunnels that this server runs.
func (g *Grid) openTunnels() error {
	g.Tunnels = &tunnel.All{Dir: g.Path("tunnel"), Log: g.Log}
	for _, c := range g.Config.Tunnels {
		if !c.Serve {
			continue
		}
		conf, err := c.Server()
		if err != nil {
			return err
		}
		changed, stop := g.Store.Watch(identity.EndTopic, tunnel.Topic)
		g.closers = append(g.closers, func() error { stop(); return nil })
		door := &gate.Gate{Name: c.Name, Network: conf.Network, Dir: g.Path("tunnel", c.Name), Store: g.Store, Now: g.Now, Authority: g.Authority,
			Identity: goodIdentity, Node: presence.One, Address: g.Presence.Address, Certify: g.Authority.Sign}
		g.Tunnels.Servers = append(g.Tunnels.Servers, tunnel.NewServer(tunnel.Config{Name: c.Name, Dir: door.Dir, Conf: conf, Seal: g.seal(c.Name), Changed: changed, Log: g.Log,
			Files: door.Files, CRL: door.CRL, Judge: door.Judge, Over: door.Over, Nodes: told{g.Presence}}))
	}
	return nil
}

// seal is a tunnel's key of tls-crypt-v2: the same at all servers of a database.
func (g *Grid) seal(name string) (k openvpn.Seal) {
	root := g.Derive("tls-crypt-v2 " + name)
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

// Credentials gives hosts the credentials of the tunnels that are configured.
func (g *Grid) Credentials() *tunnel.Tunnels {
	t := &tunnel.Tunnels{Store: g.Store, Now: time.Now, Roots: g.Authority.Roots, Seal: g.seal, Host: func(r *http.Request) (string, error) {
		id, err := g.Host(r)
		if err != nil {
			err = fmt.Errorf("cannot give credentials of a tunnel: %w", err)
		}
		return id, err
	}}
	for _, one := range g.Config.Tunnels {
		t.All = append(t.All, one.Settings())
	}
	t.Certify = func(tx *store.Tx, csr []byte, hostID, name string) (enrol.Certificate, error) {
		key, keyID, err := enrol.ParseRequest(csr)
		if err != nil {
			return enrol.Certificate{}, err
		}
		row, err := identity.Get(tx, hostID)
		if err != nil {
			return enrol.Certificate{}, err
		}
		if row.HostID == "" || row.Revoked != "" { // since the certificate was looked at
			return enrol.Certificate{}, fleet.Errorf(fleet.Denied, "cannot certify a key for tunnel %s: %s is no host any more", name, hostID)
		}
		if keyID == row.KeyID || keyID == row.FormerID {
			return enrol.Certificate{}, fleet.Errorf(fleet.Invalid, "cannot certify the key for tunnel %s: it is the machine's own", name)
		}
		return g.Authority.Issue(tx, key, enrol.Grant{Purpose: enrol.Tunnel, HostID: hostID, NodeType: row.NodeType, Tunnel: name})
	}
	return t
}
