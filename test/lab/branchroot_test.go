package lab_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
	"github.com/fernwerk/fernwerk/test/lab"
)

// A depot server that was away while the root was rotated, twice, is let in again
// without anybody's hand, shows its clients a certificate under the newest root, and
// needs the first one no more. Whoever answers in the config server's place gets
// neither its key nor its belief.
func TestBranch_FollowsRoots(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("tool", "1", lab.Setup("true"), lab.Files(map[string]string{"small.txt": "one"}))
	b := l.Branch("branch")
	first := l.Server.Authority()
	caOf := func(dir string) string { return filepath.Join(dir, "ca", "ca.pem") }
	change := func(fn func(keyring.Bundle) (keyring.Bundle, error)) {
		t.Helper()
		l.Server.Stop()
		dir := filepath.Join(l.Server.Dir, "ca")
		was, err := keyring.Read(dir)
		must(t, err)
		next, err := fn(was)
		must(t, err)
		must(t, next.Write(dir))
		l.Server.Start()
	}
	newest := func(data []byte) string {
		certs, err := pin.Certificates(data)
		must(t, err)
		return keyring.Fingerprint(certs[0])
	}
	firstPrint := newest(first)

	b.Stop()
	for range 2 {
		change(func(was keyring.Bundle) (keyring.Bundle, error) {
			return was.Rotate(keyring.Rotation{Root: true}, time.Now())
		})
	}
	root := newest(l.Server.Authority())
	if root == firstPrint {
		t.Fatal("the root was not rotated")
	}
	b.Start()
	if got := newest([]byte(read(t, caOf(b.Dir)))); got != root {
		t.Errorf("it believes %s, not %s", got, root)
	}
	// These clients believe the newest root only.
	if _, err := b.Pull("tool", l.Server.ID); err != nil {
		t.Errorf("a copy from the config server: %v", err)
	}
	pc := l.Joined("pc1")
	l.Call("configState_create", "clientconfig.depot.id", pc.ID, b.ID)
	if resp := b.Do("GET", "/depot/tool/small.txt", pc.ID, pc.Key(), nil); resp.StatusCode != http.StatusOK {
		t.Errorf("a client: %s", resp.Status)
	}

	// The roots of before are forgotten; the configuration of the depot server names
	// the first one still.
	b.Stop()
	change(func(was keyring.Bundle) (keyring.Bundle, error) {
		m, err := was.Material()
		for _, before := range m.Before {
			if err == nil {
				was, err = was.Forget(keyring.Fingerprint(before))
			}
		}
		return was, err
	})
	b.Start()
	if text := read(t, caOf(b.Dir)); strings.Count(text, "BEGIN") != 1 || newest([]byte(text)) != root {
		t.Errorf("it believes:\n%s", text)
	}
	if _, err := b.AdminClient().Call(t.Context(), actor, "backend_info", pos()); err != nil {
		t.Error(err)
	}

	// Rotated while it runs: it sees that at its next connection, and shows its clients
	// a certificate under the new root then.
	known, err := pin.Config("127.0.0.1", l.Server.Authority(), "")
	must(t, err)
	change(func(was keyring.Bundle) (keyring.Bundle, error) {
		return was.Rotate(keyring.Rotation{Root: true}, time.Now())
	})
	fresh, err := pin.Config("127.0.0.1", l.Server.Authority(), "")
	must(t, err)
	// A client of before, whom it has to ask about.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL()+"/depot/tool/small.txt", nil)
	must(t, err)
	req.SetBasicAuth(pc.ID, pc.Key())
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: known, DisableKeepAlives: true}}).Do(req)
	must(t, err)
	resp.Body.Close()
	lab.Await(t, "a certificate under the newest root", func() bool {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(b.URL(), "https://"), fresh)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})

	// Somebody in the middle, who shows the right authorities and one of his own.
	b.Stop()
	at := strings.TrimPrefix(l.Server.URL(), "https://")
	l.Server.Stop()
	asked := inTheMiddle(t, at, []byte(read(t, caOf(b.Dir))))
	before := read(t, caOf(b.Dir))
	err = b.TryStart()
	if fleet.CodeOf(err) != fleet.Unauthenticated || !strings.Contains(fleet.HintOf(err), "ca_fingerprint") {
		t.Errorf("with somebody in the middle: %v (%s)", err, fleet.HintOf(err))
	}
	if n := asked.Load(); n != 0 || read(t, caOf(b.Dir)) != before {
		t.Errorf("he was asked for %d things; believed now:\n%s", n, read(t, caOf(b.Dir)))
	}
}

// inTheMiddle answers at an address with an authority of its own.
func inTheMiddle(t *testing.T, at string, genuine []byte) (asked *atomic.Int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "in the middle"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	block, _ := pem.Decode(genuine)
	shown := tls.Certificate{Certificate: [][]byte{der, block.Bytes}, PrivateKey: key}
	listener, err := tls.Listen("tcp", at, &tls.Config{Certificates: []tls.Certificate{shown}})
	must(t, err)
	asked = &atomic.Int64{}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Write(append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), genuine...))
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(listener) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return asked
}
