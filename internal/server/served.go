package server

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	names "github.com/fernwerk/fernwerk/internal/fleet/tunnel"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/metrics"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/tunnel"
)

// served are the tunnels that this server runs.
type served struct {
	dir   string // a folder for each
	all   []*tunnel.Server
	gates []*gate // of each
	stops []func()
	log   *slog.Logger
}

// serveTunnels makes them.
func (s *Server) serveTunnels(st *store.Store, m *member, authority *ca.Authority, present *presence.Presence) (*served, error) {
	t := &served{dir: s.path("tunnel"), log: s.cfg.Log}
	for _, c := range s.cfg.Tunnels {
		if !c.Serve {
			continue
		}
		conf, err := c.Server()
		if err != nil {
			return nil, err
		}
		changed, stop := st.Watch(identity.EndTopic, tunnel.Topic)
		t.stops = append(t.stops, stop)
		g := &gate{name: c.Name, network: conf.Network, store: st, authority: authority, presence: present, dir: filepath.Join(t.dir, c.Name), now: s.cfg.Now}
		t.gates = append(t.gates, g)
		t.all = append(t.all, tunnel.NewServer(tunnel.Config{
			Name: c.Name, Dir: g.dir, Conf: conf, Seal: seal(m, c.Name), Changed: changed, Log: s.cfg.Log,
			Files: g.files, CRL: g.crl, Judge: g.judge, Over: g.over, Nodes: g,
		}))
	}
	return t, nil
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

// serve adds the tunnels to the parts that run, and ends those that are no more.
func (t *served) serve(g *run.Group) {
	g.Add("former tunnels", run.Func(func(ctx context.Context) error {
		t.endFormer(ctx)
		<-ctx.Done()
		return nil
	}))
	for i, one := range t.all {
		g.Add("tunnel "+one.Name, run.Func(func(ctx context.Context) error {
			defer t.stops[i]()
			return one.Serve(ctx)
		}))
	}
}

// endFormer ends the openvpn of tunnels that this server runs no more.
func (t *served) endFormer(ctx context.Context) {
	entries, err := os.ReadDir(t.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.log.Warn("Former tunnels are not looked for", "error", err)
	}
	for _, e := range entries {
		if slices.ContainsFunc(t.all, func(s *tunnel.Server) bool { return s.Name == e.Name() }) {
			continue
		}
		if err := tunnel.End(ctx, filepath.Join(t.dir, e.Name())); err != nil {
			t.log.Warn("A former tunnel does not end", "tunnel", e.Name(), "error", err)
		}
	}
}

// count has the tunnels' numbers asked for.
func (t *served) count(m *metrics.Metrics) {
	sum := func(read func(*tunnel.Server) float64) func() float64 {
		return func() (n float64) {
			for _, s := range t.all {
				n += read(s)
			}
			return n
		}
	}
	m.Ask(metrics.Gauge, "tunnel_sessions", "Nodes in the tunnels that this server runs.", sum(func(s *tunnel.Server) float64 { all, _ := s.Sessions(); return float64(len(all)) }))
	m.Ask(metrics.Gauge, "tunnel_unattended", "Tunnels of this server whose openvpn does not run or does not answer.", sum(func(s *tunnel.Server) float64 {
		if _, ok := s.Sessions(); ok {
			return 0
		}
		return 1
	}))
	m.Ask(metrics.Counter, "tunnel_decisions_total", "Nodes that asked to be let into a tunnel.", sum(func(s *tunnel.Server) float64 { n, _, _, _, _ := s.Counted(); return float64(n) }))
	m.Ask(metrics.Counter, "tunnel_refused_total", "Nodes that were refused.", sum(func(s *tunnel.Server) float64 { _, n, _, _, _ := s.Counted(); return float64(n) }))
	m.Ask(metrics.Counter, "tunnel_ended_total", "Sessions that were ended from here: revoked hosts, and by order.", sum(func(s *tunnel.Server) float64 { _, _, n, _, _ := s.Counted(); return float64(n) }))
	m.Ask(metrics.Counter, "tunnel_starts_total", "Starts of openvpn.", sum(func(s *tunnel.Server) float64 { _, _, _, n, _ := s.Counted(); return float64(n) }))
	m.Ask(metrics.Gauge, "tunnel_slowest_decision_seconds", "The longest that a node waited for a decision.", sum(func(s *tunnel.Server) float64 { _, _, _, _, d := s.Counted(); return d.Seconds() }))
}

// Traffic is what sessions of this server's tunnels carried.
func (t *served) Traffic() (all []port.TunnelTraffic) {
	for _, one := range t.all {
		in, _ := one.Sessions()
		for _, s := range in {
			all = append(all, port.TunnelTraffic{HostID: s.HostID, Tunnel: one.Name, Epoch: s.Epoch, Received: s.Received, Sent: s.Sent})
		}
	}
	return all
}

// Disconnect is [tunnel.Disconnect].
func (t *served) Disconnect(tx *store.Tx, hostID, name string) error {
	return tunnel.Disconnect(tx, hostID, name)
}

// gate says who may enter a tunnel.
type gate struct {
	name      string
	network   netip.Prefix
	store     *store.Store
	authority *ca.Authority
	presence  *presence.Presence
	dir       string
	now       func() time.Time
}

// judge decides about one who asks.
func (g *gate) judge(ctx context.Context, c tunnel.Claim) (a tunnel.Admission, err error) {
	var t fleet.NodeType
	var address netip.Addr
	err = g.store.View(ctx, func(tx *store.Tx) error {
		grant, err := g.authority.Granted(tx, c.Serial)
		if err != nil {
			return err
		}
		if grant.Purpose != enrol.Tunnel || grant.Tunnel != g.name || grant.HostID != c.HostID {
			return fleet.Errorf(fleet.Denied, "the certificate is not one for tunnel %s", g.name)
		}
		row, err := g.counts(tx, c.HostID)
		if err != nil {
			return err
		}
		n, found, err := presence.One(tx, c.HostID)
		if err != nil {
			return err
		}
		// A host that joined again under its name, by a one-time password, says no type:
		// it has the one that it had.
		name := cmp.Or(row.NodeType, n.NodeType)
		if found && n.NodeType == name {
			address = n.Address
		}
		t, err = typeOf(tx, name)
		return err
	})
	if err != nil {
		return a, err
	}
	if t.Tunnel != "openvpn" && t.Tunnel != "both" {
		return a, fleet.Errorf(fleet.Denied, "the node type %q has no tunnel of this kind", t.ID)
	}
	if !address.IsValid() {
		if address, err = g.presence.Address(ctx, c.HostID); err != nil {
			return a, err
		}
	}
	if !g.network.Contains(address) || address == g.network.Addr() || address == g.network.Addr().Next() || address == node.Last(g.network) {
		return a, fleet.Errorf(fleet.Denied, "its address %s is not one for nodes in %s", address, g.network)
	}
	a = tunnel.Admission{HostID: c.HostID, Push: openvpn.Push{Address: address, Bits: g.network.Bits()}}
	for _, r := range t.Routes {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			return a, err
		}
		a.Push.Routes = append(a.Push.Routes, p)
	}
	for _, s := range t.DNSServers {
		d, err := netip.ParseAddr(s)
		if err != nil {
			return a, err
		}
		a.Push.DNS = append(a.Push.DNS, d)
	}
	if t.SearchDomain != "" {
		a.Push.Search = []string{t.SearchDomain}
	}
	return a, nil
}

// counts is a host's identity, if it is good.
func (g *gate) counts(tx *store.Tx, hostID string) (identity.Row, error) {
	row, err := identity.Get(tx, hostID)
	switch {
	case err != nil:
	case row.HostID == "":
		err = fleet.Errorf(fleet.Denied, "there is no host %s", hostID)
	case row.Revoked != "":
		err = fleet.Errorf(fleet.Denied, "the identity of %s was revoked", hostID)
	}
	return row, err
}

func typeOf(tx *store.Tx, name string) (t fleet.NodeType, err error) {
	r, err := tx.ByKey(fleet.NodeTypes, name)
	if err == nil && r == nil {
		err = fleet.Errorf(fleet.Denied, "there is no node type %q", name)
	}
	if err == nil {
		fleet.NodeTypes.Decode(r, &t)
	}
	return t, err
}

// over says who of those who are in may be no longer.
func (g *gate) over(ctx context.Context, in []tunnel.Session) (map[string]string, error) {
	out := map[string]string{}
	err := g.store.View(ctx, func(tx *store.Tx) error {
		ordered, err := tunnel.Ordered(tx, g.name)
		if err != nil {
			return err
		}
		for _, s := range in {
			_, err := g.counts(tx, s.HostID)
			switch {
			case fleet.CodeOf(err) == fleet.Denied:
				out[s.HostID] = err.Error()
			case err != nil:
				return err
			}
			if at, found := ordered[s.HostID]; found && !s.Since.IsZero() && s.Since.Before(at) {
				out[s.HostID] = "an administrator wished it"
			}
		}
		return nil
	})
	return out, err
}

// crl are the lists of revocations.
func (g *gate) crl(ctx context.Context) (text []byte, err error) {
	err = g.store.View(ctx, func(tx *store.Tx) error { text, err = g.authority.Lists(tx); return err })
	return text, err
}

// files are what openvpn shows and believes. Its certificate is made anew when a
// third of its life is left, or by another key than the one that signs now.
func (g *gate) files(context.Context) (f tunnel.Files, err error) {
	f.CA = g.authority.Roots()
	f.Cert, _ = os.ReadFile(filepath.Join(g.dir, openvpn.CertFile))
	f.Key, _ = os.ReadFile(filepath.Join(g.dir, openvpn.KeyFile))
	if g.good(f) {
		return f, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return f, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{OrganizationalUnit: []string{ca.TakesChain}}}, key)
	if err != nil {
		return f, err
	}
	f.Cert, err = g.authority.Sign(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), []string{names.ServerName(g.name)})
	if err != nil {
		return f, fmt.Errorf("cannot certify tunnel %s: %w", g.name, err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return f, err
	}
	f.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return f, err
	}
	// The key first: one without its certificate is made anew.
	return f, errors.Join(atomicfile.WriteFile(filepath.Join(g.dir, openvpn.KeyFile), f.Key, 0o600), atomicfile.WriteFile(filepath.Join(g.dir, openvpn.CertFile), f.Cert, 0o600))
}

func (g *gate) good(f tunnel.Files) bool {
	pair, err := tls.X509KeyPair(f.Cert, f.Key)
	if err != nil {
		return false
	}
	leaf := pair.Leaf
	if leaf.Subject.CommonName != names.ServerName(g.name) || leaf.NotAfter.Sub(g.now()) < leaf.NotAfter.Sub(leaf.NotBefore)/3 || g.authority.Outdated(leaf) {
		return false
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(f.CA)
	between.AppendCertsFromPEM(f.Cert)
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: g.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil
}

func (g *gate) session(s tunnel.Session) presence.Session {
	return presence.Session{HostID: s.HostID, Tunnel: g.name, Epoch: s.Epoch, Address: s.Address, ClientAddress: s.From.Addr(), Since: s.Since}
}

// Up implements [tunnel.Nodes], as do the next two.
func (g *gate) Up(ctx context.Context, _ string, s tunnel.Session) error {
	return g.presence.Up(ctx, g.session(s))
}

func (g *gate) Down(ctx context.Context, _ string, s tunnel.Session) error {
	return g.presence.Down(ctx, s.HostID, g.name, s.Epoch)
}

func (g *gate) Sync(ctx context.Context, _ string, all []tunnel.Session) error {
	held := make([]presence.Session, 0, len(all))
	for _, s := range all {
		held = append(held, g.session(s))
	}
	return g.presence.Sync(ctx, g.name, held)
}
