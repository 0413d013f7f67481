package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// What somebody on the machine sets while the agent renews stays set.
func TestChange_AtOnce(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := Identity{HostID: host, HostKey: hostKey, Server: "https://server.example.org:4447", CA: string(pemOf(root)),
		Policy: enrol.Offline, TrustVersion: 1, TrustSHA256: strings.Repeat("a", 64)}
	if err := id.save(dir); err != nil {
		t.Fatal(err)
	}
	for n := range 60 {
		running, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		want := []enrol.Policy{enrol.Delegated, enrol.Offline}[n%2]
		var both sync.WaitGroup
		both.Go(func() {
			for range 3 {
				if _, err := running.Believe([]byte(running.CA), time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
		both.Go(func() {
			if err := SetPolicy(dir, want); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if now, err := Load(dir); err != nil || now.Policy != want {
			t.Fatalf("round %d: the policy is %s, %s was set; %v", n, now.Policy, want, err)
		}
	}
}
