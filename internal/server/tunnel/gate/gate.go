// Package gate says who may enter a tunnel that is served here, by the database at
// that moment, and what openvpn shows and believes: all that a [tunnel.Server] asks.
package gate

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	names "github.com/fernwerk/fernwerk/internal/fleet/tunnel"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
	"github.com/fernwerk/fernwerk/internal/server/tunnel"
)

// Gate says who may enter one tunnel.
type Gate struct {
	Name    string
	Network netip.Prefix // of the nodes
	Dir     string       // of the tunnel's files
	Store   *store.Store
	Now     func() time.Time
	Authority
	// Identity is the node type of a host whose identity is good, "" if it joined as
	// none; Denied if it is not, or if there is no such host.
	Identity func(tx *store.Tx, hostID string) (nodeType string, err error)
	// Node is a host that has an address, and Address gives one to a host that has none.
	Node    func(tx *store.Tx, hostID string) (n node.Node, found bool, err error)
	Address func(ctx context.Context, hostID string) (netip.Addr, error)
	// Certify makes the certificate of the tunnel's server of a signing request, PEM.
	Certify func(request []byte, names []string) ([]byte, error)
}

// Authority is who signs certificates; see the package ca.
type Authority interface {
	Granted(tx *store.Tx, serial string) (enrol.Grant, error)
	Lists(tx *store.Tx) ([]byte, error)
	Roots() []byte
	Outdated(cert *x509.Certificate) bool
}

// Judge decides about one who asks.
func (g *Gate) Judge(ctx context.Context, c tunnel.Claim) (a tunnel.Admission, err error) {
	var t fleet.NodeType
	var address netip.Addr
	err = g.Store.View(ctx, func(tx *store.Tx) error {
		grant, err := g.Granted(tx, c.Serial)
		if err != nil {
			return err
		}
		if grant.Purpose != enrol.Tunnel || grant.Tunnel != g.Name || grant.HostID != c.HostID {
			return fleet.Errorf(fleet.Denied, "the certificate is not one for tunnel %s", g.Name)
		}
		nodeType, err := g.Identity(tx, c.HostID)
		if err != nil {
			return err
		}
		n, found, err := g.Node(tx, c.HostID)
		if err != nil {
			return err
		}
		// A host that joined again under its name, by a one-time password, says no type:
		// it has the one that it had.
		name := cmp.Or(nodeType, n.NodeType)
		if found && n.NodeType == name {
			address = n.Address
		}
		t, err = typeOf(tx, name)
		return err
	})
	if err != nil {
		return a, err
	}
	if err := Allows(t); err != nil {
		return a, err
	}
	if !address.IsValid() {
		if address, err = g.Address(ctx, c.HostID); err != nil {
			return a, err
		}
	}
	if !g.Network.Contains(address) || address == g.Network.Addr() || address == g.Network.Addr().Next() || address == node.Last(g.Network) {
		return a, fleet.Errorf(fleet.Denied, "its address %s is not one for nodes in %s", address, g.Network)
	}
	a = tunnel.Admission{HostID: c.HostID, Push: openvpn.Push{Address: address, Bits: g.Network.Bits()}}
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

// Over says who of those who are in may be no longer.
func (g *Gate) Over(ctx context.Context, in []tunnel.Session) (map[string]string, error) {
	out := map[string]string{}
	err := g.Store.View(ctx, func(tx *store.Tx) error {
		ordered, err := tunnel.Ordered(tx, g.Name)
		if err != nil {
			return err
		}
		for _, s := range in {
			t, err := g.kind(tx, s.HostID)
			if err == nil {
				err = Allows(t)
			}
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

// CRL are the lists of revocations.
func (g *Gate) CRL(ctx context.Context) (text []byte, err error) {
	err = g.Store.View(ctx, func(tx *store.Tx) error { text, err = g.Lists(tx); return err })
	return text, err
}

// Files are what openvpn shows and believes. Its certificate is made anew when a
// third of its life is left, or by another key than the one that signs now.
func (g *Gate) Files(context.Context) (f tunnel.Files, err error) {
	f.CA = g.Roots()
	f.Cert, _ = os.ReadFile(filepath.Join(g.Dir, openvpn.CertFile))
	f.Key, _ = os.ReadFile(filepath.Join(g.Dir, openvpn.KeyFile))
	if g.good(f) {
		return f, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return f, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{OrganizationalUnit: []string{takesChain}}}, key)
	if err != nil {
		return f, err
	}
	f.Cert, err = g.Certify(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), []string{names.ServerName(g.Name)})
	if err != nil {
		return f, fmt.Errorf("cannot certify tunnel %s: %w", g.Name, err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return f, err
	}
	f.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if err := os.MkdirAll(g.Dir, 0o700); err != nil {
		return f, err
	}
	// The key first: one without its certificate is made anew.
	return f, errors.Join(atomicfile.WriteFile(filepath.Join(g.Dir, openvpn.KeyFile), f.Key, 0o600), atomicfile.WriteFile(filepath.Join(g.Dir, openvpn.CertFile), f.Cert, 0o600))
}

// takesChain asks the authority for the whole chain.
const takesChain = "chain"

func (g *Gate) good(f tunnel.Files) bool {
	pair, err := tls.X509KeyPair(f.Cert, f.Key)
	if err != nil {
		return false
	}
	leaf := pair.Leaf
	if leaf.Subject.CommonName != names.ServerName(g.Name) || leaf.NotAfter.Sub(g.Now()) < leaf.NotAfter.Sub(leaf.NotBefore)/3 || g.Outdated(leaf) {
		return false
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(f.CA)
	between.AppendCertsFromPEM(f.Cert)
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: g.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil
}
