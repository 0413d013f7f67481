package ca

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
)

// bundle is what the folder holds.
func bundle(t *testing.T, dir string) keyring.Bundle {
	t.Helper()
	b, err := keyring.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rotated(t *testing.T, b keyring.Bundle, r keyring.Rotation, c *clock) keyring.Bundle {
	t.Helper()
	next, err := b.Rotate(r, c.now())
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// sees has a client connect that believes roots, or knows a fingerprint.
func sees(t *testing.T, s *ServerCertificate, c *clock, roots []byte, print string) error {
	t.Helper()
	cfg, err := pin.Config("localhost", roots, print)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Time = c.now
	return handshake(t, s.TLS(), cfg)
}

func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := l.Accept(); err == nil {
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		conn.Close()
	}
	<-done
	return err
}

// Whatever is rotated, hosts go on: with the certificate that they have, the
// roots that they know, and the fingerprint that they were given.
func TestRotate(t *testing.T) {
	for name, root := range map[string]bool{"issuing key": false, "root": true} {
		t.Run(name, func(t *testing.T) {
			c, dir := newClock(), t.TempDir()
			a, s := open(t, dir, c), rows(t, c)
			server := certificate(t, a, names...)
			before, print := a.Roots(), a.Fingerprint()
			made, cert := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host})
			must(t, s, a.signList)
			c.Time = c.Add(24 * time.Hour)
			if err := rotated(t, bundle(t, dir), keyring.Rotation{Root: root}, c).Write(dir); err != nil {
				t.Fatal(err)
			}
			if changed, err := a.reload(nil); !changed || err != nil {
				t.Fatalf("the running server: %v, %v", changed, err)
			}
			if err := server.renew(); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Read(cert); err != nil {
				t.Errorf("the old certificate: %v", err)
			}
			if _, err := cert.Verify(x509.VerifyOptions{Roots: a.ClientCAs(), CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				t.Error(err)
			}
			after, err := enrol.Vouched(before, a.Roots(), c.now())
			if err != nil || string(after) != string(a.Roots()) {
				t.Fatalf("the host believes %q, %v", after, err)
			}
			for what, err := range map[string]error{
				"the roots of before":          sees(t, server, c, before, ""),
				"the fingerprint of before":    sees(t, server, c, nil, print),
				"the roots of now":             sees(t, server, c, after, ""),
				"the new root alone":           sees(t, server, c, a.PEM(), ""),
				"the fingerprint of now":       sees(t, server, c, nil, a.Fingerprint()),
				"old roots, and a fingerprint": sees(t, server, c, before, print),
			} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if (a.Fingerprint() != print) != root {
				t.Error("the wrong thing was rotated")
			}
			// What was issued before is revoked in the list of now.
			must(t, s, func(tx *store.Tx) error {
				_, err := a.Revoke(tx, host, "lost")
				return err
			})
			fresh, _ := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: "other.example.org"})
			der, _ := newest(t, a, s)
			list, err := enrol.ReadCRL(der.Raw, after, fresh.Chain, c.now())
			if err != nil || !list.Revoked[made.Serial] {
				t.Errorf("%+v, %v", list, err)
			}
			// A host that has only its old chain and what it believed finds the way.
			if _, err := enrol.ReadCRL(der.Raw, before, fresh.Chain, c.now()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Five rotations while a host was away: it catches up at once.
func TestRotate_Often(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	a := open(t, dir, c)
	first, print := a.Roots(), a.Fingerprint()
	for range 5 {
		c.Time = c.Add(80 * 24 * time.Hour)
		if err := rotated(t, bundle(t, dir), keyring.Rotation{Root: true}, c).Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	a = open(t, dir, c)
	server := certificate(t, a, names...)
	if got, err := enrol.Vouched(first, a.Roots(), c.now()); err != nil || string(got) != string(a.Roots()) {
		t.Errorf("it believes %q, %v", got, err)
	}
	for what, err := range map[string]error{"roots": sees(t, server, c, first, ""), "fingerprint": sees(t, server, c, nil, print)} {
		if err != nil {
			t.Errorf("by its first %s: %v", what, err)
		}
	}
	// The roots before may go, one after the other.
	status, err := bundle(t, dir).Status()
	if err != nil || len(status.Earlier) != 5 || len(status.Issuing) != 6 {
		t.Fatalf("%+v, %v", status, err)
	}
	for _, k := range append(status.Earlier, status.Issuing[1:]...) {
		next, err := bundle(t, dir).Forget(strings.ToUpper(k.Fingerprint))
		if err == nil {
			err = next.Write(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	a = open(t, dir, c)
	if _, err := enrol.Vouched(first, a.Roots(), c.now()); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("a forgotten root vouches: %v", err)
	}
	if certs, _ := pin.Certificates(a.Roots()); len(certs) != 1 || len(a.mat.Load().Issuing) != 1 {
		t.Errorf("%d certificates, %d issuing keys are left", len(certs), len(a.mat.Load().Issuing))
	}
	for _, print := range []string{a.Fingerprint(), status.Issuing[0].Fingerprint, print, "nonsense"} {
		if _, err := bundle(t, dir).Forget(print); fleet.HintOf(err) == "" {
			t.Errorf("%s: %v", print, err)
		}
	}
}

// The root's key is away; everything goes on, and the next rotation needs it.
func TestTakeRootKey(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	a, s := open(t, dir, c), rows(t, c)
	alone, without, err := bundle(t, dir).TakeRootKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := without.Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.key")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "issuing.pem")); strings.Contains(string(alone), string(text)) {
		t.Error("the root's key is still there")
	}
	a = open(t, dir, c)
	certificate(t, a, names...)
	issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host})
	if st, err := bundle(t, dir).Status(); err != nil || st.Root.Key != keyring.Away {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := bundle(t, dir).Rotate(keyring.Rotation{}, c.now()); fleet.CodeOf(err) != fleet.NotHere || fleet.HintOf(err) == "" {
		t.Errorf("without the key: %v", err)
	}
	other, _, err := bundle(t, func() string { d := t.TempDir(); open(t, d, c); return d }()).TakeRootKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle(t, dir).Rotate(keyring.Rotation{RootKey: other}, c.now()); fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("with another's key: %v", err)
	}
	if _, _, err := bundle(t, dir).TakeRootKey(); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("again: %v", err)
	}
	next := rotated(t, bundle(t, dir), keyring.Rotation{RootKey: alone}, c)
	if st, err := next.Status(); err != nil || len(st.Issuing) != 2 || st.Root.Key != keyring.Away {
		t.Errorf("%+v, %v", st, err)
	}
	var apart keyring.Bundle
	next = rotated(t, next, keyring.Rotation{RootKey: alone, Root: true, Apart: func(b keyring.Bundle) error { apart = b; return nil }}, c)
	if st, err := next.Status(); err != nil || st.Root.Key != keyring.Away || len(st.Earlier) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := next.Rotate(keyring.Rotation{RootKey: apart}, c.now()); err != nil {
		t.Error(err)
	}
}

// A change that is cut off anywhere leaves the authority of before or of after,
// and it works.
func TestChange_Cut(t *testing.T) {
	for name, change := range map[string]func(keyring.Bundle) (keyring.Bundle, error){
		"take the root's key": func(b keyring.Bundle) (keyring.Bundle, error) {
			_, without, err := b.TakeRootKey()
			return without, err
		},
		"rotate": func(b keyring.Bundle) (keyring.Bundle, error) { return b.Rotate(keyring.Rotation{}, newClock().now()) },
		"rotate the root": func(b keyring.Bundle) (keyring.Bundle, error) {
			return b.Rotate(keyring.Rotation{Root: true}, newClock().now())
		},
	} {
		for cut := -1; cut <= 4; cut++ {
			t.Run(fmt.Sprint(name, " ", cut), func(t *testing.T) {
				c, dir := newClock(), t.TempDir()
				a, s := open(t, dir, c), rows(t, c)
				_, cert := issue(t, a, s, key(t).Public(), enrol.Grant{Purpose: enrol.Host, HostID: host})
				was := bundle(t, dir)
				next, err := change(was)
				if err != nil {
					t.Fatal(err)
				}
				if cut >= 0 { // else only a temporary file was written
					if err := os.WriteFile(filepath.Join(dir, "next.pem"), next, 0o600); err != nil {
						t.Fatal(err)
					}
					m, err := next.Material()
					if err != nil {
						t.Fatal(err)
					}
					for _, step := range m.Steps(dir)[:cut] {
						if err := step(); err != nil {
							t.Fatal(err)
						}
					}
				}
				b := open(t, dir, c)
				want := next
				if cut < 0 {
					want = was
				}
				if got := bundle(t, dir); string(got) != string(want) {
					t.Error("it is neither the one of before nor of after")
				}
				if err := sees(t, certificate(t, b, names...), c, a.Roots(), a.Fingerprint()); err != nil {
					t.Error(err)
				}
				if _, err := b.Read(cert); err != nil {
					t.Error(err)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "next.pem")); left != nil {
					t.Error("next.pem is left")
				}
			})
		}
	}
}

// A folder and a database that differ: of two states of one authority the later
// counts, another authority is refused.
func TestSettle(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	open(t, dir, c)
	one := bundle(t, dir)
	two := rotated(t, one, keyring.Rotation{Root: true}, c)
	_, three, err := two.TakeRootKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ all, folder, want keyring.Bundle }{
		"nothing here":        {two, nil, two},
		"the same":            {two, two, two},
		"older here":          {two, one, two},
		"newer here":          {one, two, two},
		"the key is away":     {three, two, three},
		"an old backup's":     {three, one, three},
		"the key is away now": {one, three, three},
	} {
		if got, err := keyring.Settle(tt.all, tt.folder, dir, c.now); err != nil || string(got) != string(tt.want) {
			t.Errorf("%s: %v, another one %v", name, err, string(got) != string(tt.want))
		}
	}
	other := t.TempDir()
	open(t, other, c)
	if _, err := keyring.Settle(two, bundle(t, other), other, c.now); fleet.CodeOf(err) != fleet.Conflict || fleet.HintOf(err) == "" {
		t.Errorf("another authority: %v", err)
	}
	// As a server of before left it: the root and its key.
	m, err := one.Material()
	if err != nil {
		t.Fatal(err)
	}
	old, err := m.RootBundle()
	if err != nil {
		t.Fatal(err)
	}
	got, err := keyring.Settle(old, nil, dir, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := got.Status(); err != nil || len(st.Issuing) != 1 || st.Root.Key != keyring.Here {
		t.Errorf("%+v, %v", st, err)
	}
}
