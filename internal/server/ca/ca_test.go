package ca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

var names = []string{"server.example.org", "localhost", "127.0.0.1", "::1"}

// clock is a time that tests move.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func open(t *testing.T, dir string, c *clock) *Authority {
	t.Helper()
	a, err := Open(dir, "server.example.org", c.now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func certificate(t *testing.T, a *Authority, names ...string) *ServerCertificate {
	t.Helper()
	s, err := a.ServerCertificate(names, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shown is what a client sees.
func shown(t *testing.T, s *ServerCertificate) *x509.Certificate {
	t.Helper()
	cert, err := s.TLS().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf
}

// verify is what a client knows that has the root and was shown the chain.
func verify(t *testing.T, a *Authority, c *clock) x509.VerifyOptions {
	t.Helper()
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	opts.Roots.AppendCertsFromPEM(a.PEM())
	for _, i := range a.mat.Load().Issuing {
		opts.Intermediates.AddCert(i.Cert)
	}
	return opts
}

func TestClientsAccept(t *testing.T) {
	c := newClock()
	dir := filepath.Join(t.TempDir(), "ca")
	a := open(t, dir, c)
	leaf := shown(t, certificate(t, a, names...))
	for _, n := range names {
		for _, at := range []time.Time{c.Add(-time.Hour), c.Add(300 * 24 * time.Hour)} {
			opts := verify(t, a, c)
			opts.DNSName, opts.CurrentTime = n, at
			if _, err := leaf.Verify(opts); err != nil {
				t.Errorf("%s at %v: %v", n, at, err)
			}
		}
	}
	if err := leaf.VerifyHostname("other.example.org"); err == nil {
		t.Error("it claims a name that it does not have")
	}
	for file, mode := range map[string]fs.FileMode{"ca.key": 0o600, "server.pem": 0o600, "ca.pem": 0o644} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}

func TestRestart(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	first := open(t, dir, c)
	leaf := shown(t, certificate(t, first, names...))
	again := open(t, dir, c)
	if first.Fingerprint() != again.Fingerprint() || len(first.Fingerprint()) != 64 {
		t.Error("the authority changed")
	}
	if !shown(t, certificate(t, again, names...)).Equal(leaf) {
		t.Error("a good certificate was made anew")
	}
	if shown(t, certificate(t, again, "new.example.org", "localhost")).Equal(leaf) {
		t.Error("a certificate without a name is kept")
	}
}

// Whatever the moment of a crash, the next start goes on.
func TestCrashedStart(t *testing.T) {
	for name, crash := range map[string]func(dir string) error{
		"key, no certificate":   func(dir string) error { return os.Remove(filepath.Join(dir, "ca.pem")) },
		"no server certificate": func(dir string) error { return os.Remove(filepath.Join(dir, "server.pem")) },
		"half a server certificate": func(dir string) error {
			return os.Truncate(filepath.Join(dir, "server.pem"), 300)
		},
		"a temporary file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, ".atomicfile-123"), []byte("half"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := newClock(), t.TempDir()
			certificate(t, open(t, dir, c), names...)
			key, err := os.ReadFile(filepath.Join(dir, "ca.key"))
			if err != nil {
				t.Fatal(err)
			}
			if err := crash(dir); err != nil {
				t.Fatal(err)
			}
			a := open(t, dir, c)
			if _, err := shown(t, certificate(t, a, names...)).Verify(verify(t, a, c)); err != nil {
				t.Error(err)
			}
			if after, _ := os.ReadFile(filepath.Join(dir, "ca.key")); !bytes.Equal(key, after) {
				t.Error("the key was replaced")
			}
		})
	}
}

// What cannot be repaired without breaking everybody's trust is an error.
func TestBrokenAuthority(t *testing.T) {
	other := t.TempDir()
	open(t, other, newClock())
	for name, harm := range map[string]func(dir string) error{
		"garbage in ca.pem": func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o644) },
		"garbage in issuing.pem": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "issuing.pem"), []byte("x"), 0o600)
		},
		"no key at all": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "ca.key")), os.Remove(filepath.Join(dir, "issuing.pem")))
		},
		"another's key": func(dir string) error {
			key, err := os.ReadFile(filepath.Join(other, "ca.key"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "ca.key"), key, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := newClock(), t.TempDir()
			before := open(t, dir, c).PEM()
			if err := harm(dir); err != nil {
				t.Fatal(err)
			}
			a, err := Open(dir, "server.example.org", c.now)
			if err == nil {
				_, err = a.ServerCertificate(names, slog.New(slog.DiscardHandler))
			}
			if err == nil || fleet.HintOf(err) == "" {
				t.Errorf("%v, hint %q", err, fleet.HintOf(err))
			}
			if now, _ := os.ReadFile(filepath.Join(dir, "ca.pem")); name != "garbage in ca.pem" && !bytes.Equal(now, before) {
				t.Error("the authority was replaced")
			}
		})
	}
}

// The root's key may be elsewhere as long as nothing is to be signed.
func TestKeyElsewhere(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	leaf := shown(t, certificate(t, open(t, dir, c), names...))
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if !shown(t, certificate(t, open(t, dir, c), names...)).Equal(leaf) {
		t.Error("another certificate")
	}
}

func TestRenewal(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	a := open(t, dir, c)
	s := certificate(t, a, names...)
	leaf := shown(t, s)
	for _, tt := range []struct {
		day int
		new bool
	}{{200, false}, {250, true}} {
		c.Time = leaf.NotBefore.Add(time.Duration(tt.day) * 24 * time.Hour)
		if err := s.renew(); err != nil {
			t.Fatal(err)
		}
		if got := !shown(t, s).Equal(leaf); got != tt.new {
			t.Errorf("on day %d: renewed %v", tt.day, got)
		}
	}
	if !shown(t, certificate(t, open(t, dir, c), names...)).Equal(shown(t, s)) {
		t.Error("the new one was not stored")
	}
	// Never longer than the issuing key.
	end := a.mat.Load().Issuing[0].Cert.NotAfter
	c.Time = end.Add(-10 * 24 * time.Hour)
	if err := s.renew(); err != nil || shown(t, s).NotAfter.After(end) {
		t.Errorf("until %v, the issuing key until %v (%v)", shown(t, s).NotAfter, end, err)
	}
}

func TestRenewsWhileServing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, err := Open(dir, "server.example.org", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		s := certificate(t, a, names...)
		leaf := shown(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Serve(ctx) }()
		time.Sleep(serverLife)
		if shown(t, s).Equal(leaf) {
			t.Error("a year later it is the same")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPEMIsOneCertificate(t *testing.T) {
	block, rest := pem.Decode(open(t, t.TempDir(), newClock()).PEM())
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		t.Errorf("%v and %d bytes", block, len(rest))
	}
}
