package server_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/ca/keyring"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/test/require"
)

// change changes the authority of a server as a command does.
func change(t *testing.T, cfg server.Config, fn func(keyring.Bundle) (keyring.Bundle, error)) *keyring.Status {
	t.Helper()
	a, err := server.OpenAuthority(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	was, err := a.Bundle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, err := fn(was)
	if err == nil {
		err = a.Replace(t.Context(), was, next)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Replace(t.Context(), was, next); cfg.Database != "" && fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("two commands at once: %v", err)
	}
	s, err := next.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// roots are what a server says that clients should believe, asked by one that
// believes some.
func (r *running) roots(t *testing.T, believed []byte, print string) (string, error) {
	t.Helper()
	trust, err := pin.Config("127.0.0.1", believed, print)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	resp, err := c.Get(r.URL() + "/ssl/ca-certs.pem")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// await waits until servers agree on roots that hold a certificate of a name.
func await(t *testing.T, believed []byte, print, name string, servers ...*running) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		var said []string
		for _, r := range servers {
			text, err := r.roots(t, believed, print)
			if err != nil {
				t.Fatal(err)
			}
			certs, err := pin.Certificates([]byte(text))
			if err == nil && certs[0].Subject.CommonName == name {
				said = append(said, text)
			}
		}
		if len(said) == len(servers) {
			for _, s := range said {
				if s != said[0] {
					t.Fatal("the servers say different things")
				}
			}
			return said[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d servers have the root %q", len(said), len(servers), name)
		}
	}
}

// Two servers on one database: the root's key is taken from both, and a new root
// is both's, while they run. A client that knows the old root goes on.
func TestAuthority_TwoServers(t *testing.T) {
	t.Parallel()
	database, key := require.Postgres(t), cluster.NewKey().Text()
	beside := func(name string) server.Config {
		data := t.TempDir()
		if err := os.WriteFile(filepath.Join(data, cluster.KeyFile), []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return server.Config{Data: data, Database: database, Replica: name, ID: "server.example.org"}
	}
	cfg := beside("one")
	one, two := start(t, cfg), start(t, beside("two"))
	rootKeys := func() (n int) {
		for _, r := range []*running{one, two} {
			if _, err := os.Stat(filepath.Join(r.dir, "ca", "ca.key")); err == nil {
				n++
			}
		}
		return n
	}
	before, err := os.ReadFile(filepath.Join(one.dir, "ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if n := rootKeys(); n != 2 {
		t.Fatalf("%d have the root's key", n)
	}
	if a, b := issuingOf(t, one), issuingOf(t, two); a != b {
		t.Fatal("they have two issuing keys")
	}
	var alone keyring.Bundle
	s := change(t, cfg, func(b keyring.Bundle) (without keyring.Bundle, err error) {
		alone, without, err = b.TakeRootKey()
		return without, err
	})
	if s.Root.Key != keyring.Away {
		t.Errorf("%+v", s)
	}
	print := s.Root.Fingerprint
	for deadline := time.Now().Add(time.Minute); rootKeys() != 0; <-time.After(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d still have the root's key", rootKeys())
		}
	}
	s = change(t, cfg, func(b keyring.Bundle) (keyring.Bundle, error) {
		return b.Rotate(keyring.Rotation{Root: true, RootKey: alone, Apart: func(keyring.Bundle) error { return nil }}, time.Now())
	})
	after := await(t, before, print, s.Root.Name, one, two)
	if got, err := enrol.Vouched(before, []byte(after), time.Now()); err != nil || string(got) != after {
		t.Errorf("a host takes %q, %v", got, err)
	}
	// Who knows the newest root only is served soon, and by both.
	for _, r := range []*running{one, two} {
		for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
			_, err := r.roots(t, nil, s.Root.Fingerprint)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	if n := rootKeys(); n != 0 {
		t.Errorf("%d have the new root's key", n)
	}
	// A restart finds it so; a third server comes to the same.
	two.stop()
	three := start(t, beside("three"))
	await(t, before, print, s.Root.Name, one, three)
}

// issuingOf is the issuing key's certificate that a server shows.
func issuingOf(t *testing.T, r *running) string {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.URL(), "https://"), r.trust(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	shown := conn.ConnectionState().PeerCertificates
	if len(shown) != 3 {
		t.Fatalf("%d certificates are shown", len(shown))
	}
	return string(shown[1].Raw)
}

func TestOpenAuthority_Refuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := server.OpenAuthority(t.Context(), server.Config{Data: dir}); fleet.CodeOf(err) != fleet.NotFound || fleet.HintOf(err) == "" {
		t.Errorf("a folder of nobody: %v", err)
	}
	start(t, server.Config{Data: dir}).stop()
	a, err := server.OpenAuthority(t.Context(), server.Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := server.OpenAuthority(t.Context(), server.Config{Data: dir}); fleet.CodeOf(err) != fleet.Locked || fleet.HintOf(err) == "" {
		t.Errorf("two commands: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, inside := range []string{filepath.Join(dir, "root.age"), filepath.Join(dir, "ca", "root.age"), filepath.Join(link, "root.age")} {
		if err := a.Outside(inside); fleet.HintOf(err) == "" {
			t.Errorf("%s: %v", inside, err)
		}
	}
	if err := a.Outside(filepath.Join(t.TempDir(), "root.age")); err != nil {
		t.Error(err)
	}
}
