package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// before is a copy of a folder that the program made when there was a root only:
// ca.key, ca.pem, server.pem, and depot/ with those of a depot server.
func before(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "before"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUpgrade(t *testing.T) {
	c, dir := newClock(), before(t)
	roots, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	a := open(t, dir, c)
	server := certificate(t, a, names...)
	if string(a.PEM()) != string(roots) || string(a.Roots()) != string(roots) {
		t.Error("the root is another one")
	}
	for what, err := range map[string]error{
		"who has the root":            sees(t, server, c, roots, ""),
		"who knows its fingerprint":   sees(t, server, c, nil, a.Fingerprint()),
		"who has both, as the depots": sees(t, server, c, roots, a.Fingerprint()),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if by := a.mat.Load().Issuing[0].Cert; shown(t, server).CheckSignatureFrom(by) != nil {
		t.Error("the server's certificate is the root's still")
	}
}

// Where the root's key was put elsewhere by hand, the server goes on as it did,
// and says what it lacks for hosts' certificates.
func TestUpgrade_KeyElsewhere(t *testing.T) {
	c, dir := newClock(), before(t)
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	a, s := open(t, dir, c), rows(t, c)
	if err := sees(t, certificate(t, a, names...), c, a.PEM(), a.Fingerprint()); err != nil {
		t.Error(err)
	}
	must(t, s, a.signList) // a revocation must not fail for that
	if _, _, err := a.issuing(); fleet.CodeOf(err) != fleet.Unavailable || fleet.HintOf(err) == "" {
		t.Errorf("%v; %s", err, fleet.HintOf(err))
	}
	if st, err := bundle(t, dir).Status(); err != nil || st.Root.Key != keyring.Elsewhere {
		t.Errorf("%+v, %v", st, err)
	}
}

// A depot server keeps what it has, and gets a chain when it is due; one that was
// not updated gets what it understands.
func TestUpgrade_Depot(t *testing.T) {
	c, dir := newClock(), before(t)
	a := open(t, dir, c)
	depot := filepath.Join(dir, "depot")
	roots, err := os.ReadFile(filepath.Join(depot, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	issued := func() *ServerCertificate {
		s, err := Issued(depot, func() []byte { return roots }, "depot1.example.org", slog.New(slog.DiscardHandler), c.now, func(_ context.Context, request []byte) ([]byte, error) {
			asked++
			return a.Sign(request, []string{"depot1.example.org", "localhost"})
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := issued(); asked != 0 || shown(t, s).CheckSignatureFrom(a.mat.Load().Root) != nil {
		t.Errorf("a good certificate was made anew")
	}
	c.Time = c.Add(serverLife * 3 / 4)
	s := issued()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	for what, err := range map[string]error{"roots": sees(t, s, c, roots, ""), "fingerprint": sees(t, s, c, nil, a.Fingerprint())} {
		if err != nil {
			t.Errorf("by %s: %v", what, err)
		}
	}
	if s := issued(); asked != 1 { // it was kept
		t.Errorf("asked %d times, %v", asked, s.current.Load().Leaf.NotAfter)
	}

	k := key(t)
	old, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "depot1.example.org"}}, k)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := a.Sign(keyring.EncodePEM("CERTIFICATE REQUEST", old), []string{"depot1.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pin.Certificates(signed)
	if err != nil || len(certs) != 1 || certs[0].CheckSignatureFrom(a.mat.Load().Root) != nil || !certs[0].PublicKey.(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	_, without, err := bundle(t, dir).TakeRootKey()
	if err == nil {
		err = without.Write(dir)
	}
	if _, failed := a.reload(nil); errors.Join(err, failed) != nil {
		t.Fatal(err, failed)
	}
	if _, err := a.Sign(keyring.EncodePEM("CERTIFICATE REQUEST", old), []string{"depot1.example.org"}); fleet.CodeOf(err) != fleet.NotHere || fleet.HintOf(err) == "" {
		t.Errorf("without the root's key: %v", err)
	}
}
