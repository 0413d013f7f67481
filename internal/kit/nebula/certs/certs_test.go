package certs_test

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/slackhq/nebula/cert"

	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
)

// What the authority signs is good for nebula, and for nothing else.
func TestAuthority(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	text, err := certs.New("server.example.org", now.Add(-time.Hour), now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	a, err := certs.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParsePrefix("10.134.7.38/16")
	pem, fingerprint, err := a.Sign(certs.Node{Name: "client1.example.org", Networks: []netip.Prefix{address}, Groups: []string{"vnode", "lab"},
		Key: key.PublicKey().Bytes(), From: now.Add(-time.Minute), Until: now.AddDate(0, 0, 7)})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := cert.NewCAPoolFromPEM([]byte(a.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := cert.UnmarshalCertificateFromPEM([]byte(pem))
	if err != nil {
		t.Fatal(err)
	}
	if c.Version() != cert.Version2 || c.Name() != "client1.example.org" || c.Networks()[0] != address || len(c.Groups()) != 2 || c.IsCA() || len(c.UnsafeNetworks()) > 0 {
		t.Errorf("%v", c)
	}
	if _, err := pool.VerifyCertificate(now, c); err != nil {
		t.Error(err)
	}
	if _, err := pool.VerifyCertificate(now.AddDate(0, 0, 8), c); err == nil {
		t.Error("it is good after its end")
	}
	pool.BlocklistFingerprint(fingerprint)
	if _, err := pool.VerifyCertificate(now, c); err == nil {
		t.Error("it is good although it is blocked")
	}
	if !ed25519.Verify(a.Public(), []byte("map"), a.Say([]byte("map"))) {
		t.Error("what it says is not by its key")
	}
	if _, err := certs.Read(text[:100]); err == nil {
		t.Error("half an authority was read")
	}
	if _, _, err := a.Sign(certs.Node{Name: "x", Networks: []netip.Prefix{address}, Key: []byte("short"), From: now, Until: now.AddDate(2, 0, 0)}); err == nil {
		t.Error("a key that is none was signed")
	}
}
