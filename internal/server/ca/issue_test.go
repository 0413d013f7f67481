package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

const host = "client1.example.org"

func rows(t *testing.T, c *clock) *store.Store {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "fernwerk.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return opened(t, c, func() (*store.Store, error) { return store.Open(t.Context(), db, c.now, Classes()...) })
}

func opened(t *testing.T, c *clock, open func() (*store.Store, error)) *store.Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t *testing.T, s *store.Store, fn func(*store.Tx) error) error {
	t.Helper()
	return s.Update(t.Context(), store.Origin{Actor: "test"}, fn)
}

func must(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := update(t, s, fn); err != nil {
		t.Fatal(err)
	}
}

func key(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := keyring.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issue(t *testing.T, a *Authority, s *store.Store, k crypto.PublicKey, g enrol.Grant) (enrol.Certificate, *x509.Certificate) {
	t.Helper()
	var made enrol.Certificate
	must(t, s, func(tx *store.Tx) (err error) {
		made, err = a.Issue(tx, k, g)
		return err
	})
	certs, err := pin.Certificates(made.Chain)
	if err != nil {
		t.Fatal(err)
	}
	return made, certs[0]
}

func good(t *testing.T, a *Authority, s *store.Store, serial string) error {
	t.Helper()
	return s.View(t.Context(), func(tx *store.Tx) error { return a.Good(tx, serial) })
}

func TestIssue(t *testing.T) {
	c := newClock()
	a, s := open(t, t.TempDir(), c), rows(t, c)
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key   crypto.PublicKey
		grant enrol.Grant
		life  time.Duration
	}{
		"a host":           {key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host, NodeType: "vnode"}, 90 * 24 * time.Hour},
		"without a type":   {edwards, enrol.Grant{Purpose: enrol.Host, HostID: host}, 90 * 24 * time.Hour},
		"a tunnel":         {key(t).Public(), enrol.Grant{Purpose: enrol.Tunnel, HostID: host, NodeType: "vnode", Tunnel: "hpc"}, 7 * 24 * time.Hour},
		"for an hour only": {key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host, Life: time.Hour}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			made, cert := issue(t, a, s, tt.key, tt.grant)
			if made.Serial != Serial(cert) || !made.NotAfter.Equal(cert.NotAfter) || !cert.NotAfter.Equal(c.Add(tt.life)) || !cert.NotBefore.Equal(c.Add(-time.Hour)) {
				t.Errorf("%+v; from %v until %v", made, cert.NotBefore, cert.NotAfter)
			}
			if err := good(t, a, s, made.Serial); err != nil {
				t.Error(err)
			}
			got, err := a.Read(cert)
			want := tt.grant
			want.Life = tt.life
			if err != nil || got != want {
				t.Errorf("it says %+v, %v", got, err)
			}
			chain, _ := pin.Certificates(made.Chain)
			if len(chain) != 2 || !chain[1].Equal(a.mat.Load().Issuing[0].Cert) {
				t.Errorf("%d in the chain", len(chain))
			}
			if _, err := cert.Verify(x509.VerifyOptions{Roots: a.ClientCAs(), CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				t.Error(err)
			}
			if _, err := cert.Verify(x509.VerifyOptions{Roots: a.ClientCAs(), CurrentTime: c.now()}); err == nil {
				t.Error("it is a server's as well")
			}
		})
	}
}

func TestIssue_Refuses(t *testing.T) {
	c := newClock()
	a, s := open(t, t.TempDir(), c), rows(t, c)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fine := enrol.Grant{Purpose: enrol.Host, HostID: host}
	taken := key(t).Public()
	issue(t, a, s, taken, enrol.Grant{Purpose: enrol.Host, HostID: "other.example.org"})
	for name, tt := range map[string]struct {
		key   crypto.PublicKey
		grant enrol.Grant
		code  fleet.Code
	}{
		"RSA 1024":              {weak.Public(), fine, fleet.Invalid},
		"RSA 3072":              {strong.Public(), fine, fleet.Invalid},
		"P-224":                 {small.Public(), fine, fleet.Invalid},
		"P-384":                 {big.Public(), fine, fleet.Invalid},
		"no key":                {nil, fine, fleet.Invalid},
		"a key for all":         {ed25519.PublicKey(append([]byte{1}, make([]byte, 31)...)), fine, fleet.Invalid},
		"half a key":            {ed25519.PublicKey("short"), fine, fleet.Invalid},
		"another host's key":    {taken, fine, fleet.Denied},
		"no purpose":            {key(t).Public(), enrol.Grant{HostID: host}, fleet.Invalid},
		"a server":              {key(t).Public(), enrol.Grant{Purpose: "server", HostID: host}, fleet.Invalid},
		"no host":               {key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: "client1"}, fleet.Invalid},
		"a host of many":        {key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: "*.example.org"}, fleet.Invalid},
		"a type of words":       {key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host, NodeType: "v; reboot"}, fleet.Invalid},
		"a tunnel without name": {key(t).Public(), enrol.Grant{Purpose: enrol.Tunnel, HostID: host}, fleet.Invalid},
		"a host with a tunnel":  {key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host, Tunnel: "hpc"}, fleet.Invalid},
		"a tunnel elsewhere":    {key(t).Public(), enrol.Grant{Purpose: enrol.Tunnel, HostID: host, Tunnel: "a:b"}, fleet.Invalid},
		"for ever":              {key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host, Life: 91 * 24 * time.Hour}, fleet.Invalid},
	} {
		err := update(t, s, func(tx *store.Tx) error {
			_, err := a.Issue(tx, tt.key, tt.grant)
			return err
		})
		if fleet.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A signature that was altered and still holds makes no second certificate.
func TestRead_OneForm(t *testing.T) {
	c := newClock()
	a, s := open(t, t.TempDir(), c), rows(t, c)
	for range 8 { // of random signatures half would be the other form
		made, cert := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host})
		twin := otherForm(t, cert)
		if twin.CheckSignatureFrom(a.mat.Load().Issuing[0].Cert) != nil || slices.Equal(twin.Raw, cert.Raw) {
			t.Fatal("the test's twin is not valid")
		}
		if _, err := a.Read(twin); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("the other form: %v", err)
		}
		must(t, s, func(tx *store.Tx) error {
			_, err := a.Revoke(tx, host, "lost")
			return err
		})
		if err := good(t, a, s, Serial(twin)); fleet.CodeOf(err) != fleet.Denied || Serial(twin) != made.Serial {
			t.Errorf("the twin of a revoked one: %v", err)
		}
	}
}

// otherForm is a certificate with the other signature that everybody can make.
func otherForm(t *testing.T, cert *x509.Certificate) *x509.Certificate {
	t.Helper()
	r, v, err := keyring.ParseSignature(cert.Signature)
	if err != nil {
		t.Fatal(err)
	}
	v.Sub(elliptic.P256().Params().N, v)
	var sig cryptobyte.Builder
	sig.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(v)
	})
	in, body, tbs, alg := cryptobyte.String(cert.Raw), cryptobyte.String(nil), cryptobyte.String(nil), cryptobyte.String(nil)
	if !in.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1Element(&tbs, asn1.SEQUENCE) || !body.ReadASN1Element(&alg, asn1.SEQUENCE) {
		t.Fatal("no certificate")
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(alg)
		b.AddASN1BitString(sig.BytesOrPanic())
	})
	twin, err := x509.ParseCertificate(b.BytesOrPanic())
	if err != nil {
		t.Fatal(err)
	}
	return twin
}

// What others signed, and what of ours is no host's, is not read.
func TestRead_Refuses(t *testing.T) {
	c := newClock()
	a, other, s := open(t, t.TempDir(), c), open(t, t.TempDir(), c), rows(t, c)
	_, foreign := issue(t, other, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host})
	m := a.mat.Load()
	for name, cert := range map[string]*x509.Certificate{
		"another authority's": foreign,
		"a server's":          shown(t, certificate(t, a, names...)),
		"an issuing key's":    m.Issuing[0].Cert,
		"the root's":          m.Root,
	} {
		if g, err := a.Read(cert); fleet.CodeOf(err) != fleet.Denied || g != (enrol.Grant{}) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
	if err := good(t, a, s, "0123"); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("an unknown serial: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	c := newClock()
	a, s := open(t, t.TempDir(), c), rows(t, c)
	k := key(t).Public()
	one, _ := issue(t, a, s, k, enrol.Grant{Purpose: enrol.Host, HostID: host})
	two, cert := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Tunnel, HostID: host, Tunnel: "hpc"})
	other, _ := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: "other.example.org"})
	var before int64
	for i, want := range []int{2, 0} {
		must(t, s, func(tx *store.Tx) error {
			n, err := a.Revoke(tx, host, "stolen")
			if n != want {
				t.Errorf("%d: %d revoked", i, n)
			}
			return err
		})
	}
	for serial, want := range map[string]fleet.Code{one.Serial: fleet.Denied, two.Serial: fleet.Denied, other.Serial: ""} {
		if err := good(t, a, s, serial); err != nil && fleet.CodeOf(err) != want || err == nil && want != "" {
			t.Errorf("%s: %v", serial, err)
		}
	}
	l, n := newest(t, a, s)
	if n <= before || len(l.RevokedCertificateEntries) != 2 || l.Number.Int64() != n || !l.NextUpdate.Equal(c.Add(listLife)) {
		t.Errorf("number %d, %d entries until %v", n, len(l.RevokedCertificateEntries), l.NextUpdate)
	}
	err := update(t, s, func(tx *store.Tx) error {
		_, err := a.Issue(tx, k, enrol.Grant{Purpose: enrol.Host, HostID: host})
		return err
	})
	if fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("a revoked key is certified again: %v", err)
	}
	if err := update(t, s, func(tx *store.Tx) error { return a.Adopt(tx, cert) }); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("a revoked certificate is adopted: %v", err)
	}
}

func newest(t *testing.T, a *Authority, s *store.Store) (*x509.RevocationList, int64) {
	t.Helper()
	var der []byte
	var n int64
	err := s.View(t.Context(), func(tx *store.Tx) (err error) {
		der, n, err = a.CRL(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return l, n
}

// The server is restored from a backup of before the revocation; what a host
// shows it makes it count again.
func TestTakeCRL(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	a := open(t, dir, c)
	now, restored := rows(t, c), rows(t, c)
	k := key(t)
	var known, unknown enrol.Certificate
	g := enrol.Grant{Purpose: enrol.Host, HostID: host}
	known, cert := issue(t, a, now, k.Public(), g)
	must(t, restored, func(tx *store.Tx) error { return a.Adopt(tx, cert) }) // both have it
	unknown, late := issue(t, a, now, key(t).Public(), g)                    // after the backup
	must(t, now, func(tx *store.Tx) error {
		_, err := a.Revoke(tx, host, "stolen")
		return err
	})
	der, n := newest(t, a, now)
	if err := good(t, a, restored, known.Serial); err != nil {
		t.Fatal(err)
	}
	known1, err := signed(t, a, restored, n)
	if known1 || err != nil {
		t.Errorf("a number of after the backup is on record: %v", err)
	}
	for range 2 { // a second time changes nothing
		must(t, restored, func(tx *store.Tx) error { return a.TakeCRL(tx, der.Raw) })
	}
	if err := good(t, a, restored, known.Serial); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("the revoked one: %v", err)
	}
	if err := update(t, restored, func(tx *store.Tx) error { return a.Adopt(tx, late) }); fleet.CodeOf(err) == "" || err == nil {
		t.Errorf("one that was made and revoked after the backup is adopted: %v", err)
	}
	l, after := newest(t, a, restored)
	if after <= n || len(l.RevokedCertificateEntries) != 2 {
		t.Errorf("number %d after %d, %d entries", after, n, len(l.RevokedCertificateEntries))
	}
	if on, err := signed(t, a, restored, n); !on || err != nil {
		t.Errorf("the host's number is asked for again: %v", err)
	}
	_ = unknown

	other := open(t, t.TempDir(), c)
	foreign := rows(t, c)
	must(t, foreign, other.signList)
	theirs, _ := newest(t, other, foreign)
	for name, tt := range map[string]struct {
		der  []byte
		code fleet.Code
	}{
		"another authority's": {theirs.Raw, fleet.Denied},
		"text":                {[]byte("hello"), fleet.Invalid},
		"too large":           {make([]byte, maxList+1), fleet.TooLarge},
		"cut":                 {der.Raw[:len(der.Raw)-1], fleet.Invalid},
		"more behind":         {append(der.Raw[:len(der.Raw):len(der.Raw)], 0), fleet.Invalid},
	} {
		if err := update(t, restored, func(tx *store.Tx) error { return a.TakeCRL(tx, tt.der) }); fleet.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func signed(t *testing.T, a *Authority, s *store.Store, n int64) (on bool, err error) {
	t.Helper()
	err = s.View(t.Context(), func(tx *store.Tx) (err error) {
		on, err = a.Signed(tx, n)
		return err
	})
	return on, err
}

// The list is signed once a day, and its number rises.
func TestKeeper(t *testing.T) {
	c := newClock()
	a, s := open(t, t.TempDir(), c), rows(t, c)
	k := &Keeper{Authority: a, Store: s}
	var last int64
	for i, tt := range []struct {
		later time.Duration
		fresh bool
	}{{0, true}, {time.Hour, false}, {23 * time.Hour, true}, {23 * time.Hour, false}, {2 * time.Hour, true}} {
		c.Time = c.Add(tt.later)
		if err := k.sign(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, n := newest(t, a, s)
		if n < last || (n > last) != tt.fresh {
			t.Errorf("%d: number %d after %d", i, n, last)
		}
		last = n
	}
	// Ended certificates of tunnels are forgotten, hosts' are not.
	tunnel, _ := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Tunnel, HostID: host, Tunnel: "hpc"})
	kept, _ := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host})
	c.Time = c.Add(365 * 24 * time.Hour)
	if err := k.sign(t.Context()); err != nil {
		t.Fatal(err)
	}
	if good(t, a, s, tunnel.Serial) == nil || good(t, a, s, kept.Serial) != nil {
		t.Error("the wrong one is forgotten")
	}
}

func TestParseSignature_Strict(t *testing.T) {
	block, _ := pem.Decode(open(t, t.TempDir(), newClock()).PEM())
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := keyring.ParseSignature(cert.Signature); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]byte{nil, {0x30}, append(slices.Clone(cert.Signature), 0)} {
		if _, _, err := keyring.ParseSignature(bad); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}
