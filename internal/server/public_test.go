package server_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/require/pebble"
)

const public = "fleet.example.org"

// dial connects to a server; it gives who signed what was shown.
func (r *running) dial(cfg *tls.Config) (issuer string, err error) {
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.URL(), "https://"), cfg)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Issuer.CommonName, nil
}

// browser trusts public authorities, of which the test's is one.
func browser(t *testing.T, root []byte, name string) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		t.Fatal("no root")
	}
	return &tls.Config{ServerName: name, RootCAs: pool, NextProtos: []string{"h2", "http/1.1"}}
}

func (r *running) awaitPublic(t *testing.T, root []byte) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(100 * time.Millisecond) {
		_, err := r.dial(browser(t, root, public))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// authority is a Pebble, and the configuration to use it.
func publicAuthority(t *testing.T, tlsPort, httpPort int) (*pebble.Server, config.ACME) {
	t.Helper()
	p := pebble.Start(t, tlsPort, httpPort)
	ca := filepath.Join(t.TempDir(), "directory.pem")
	if err := os.WriteFile(ca, p.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	return p, config.ACME{Names: []string{public}, Directory: p.Directory, DirectoryCA: ca, Email: "root@example.org", AcceptTerms: true}
}

// Browsers see a public certificate on the public name, and machines that pinned
// our authority see ours, on the same name and port.
func TestPublicName(t *testing.T) {
	t.Parallel()
	port := pebble.FreePort(t)
	authority, cfg := publicAuthority(t, port, pebble.FreePort(t))
	root := authority.Root(t)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	data := server.Config{Log: log, Data: t.TempDir(), Listen: fmt.Sprint("127.0.0.1:", port), ACME: cfg}
	r := start(t, data)
	r.awaitPublic(t, root)

	own, err := os.ReadFile(filepath.Join(r.dir, "ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pin.Certificates(own)
	if err != nil {
		t.Fatal(err)
	}
	sees := func(what string, cfg *tls.Config, ours bool) {
		t.Helper()
		issuer, err := r.dial(cfg)
		if err != nil || strings.HasPrefix(issuer, "Fernwerk issuing CA") != ours {
			t.Errorf("%s: signed by %q, %v", what, issuer, err)
		}
	}
	pinned := func(name string, ca []byte, print string) *tls.Config {
		t.Helper()
		cfg, err := pin.Config(name, ca, print)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	print := fmt.Sprintf("%x", sha256.Sum256(certs[0].Raw))
	sees("a browser", browser(t, root, public), false)
	sees("a browser, in capitals", browser(t, root, strings.ToUpper(public)), false)
	sees("an agent that has the authority", pinned(public, own, ""), true)
	sees("an agent that has its fingerprint", pinned(public, nil, print), true)
	sees("an agent by address", pinned("127.0.0.1", own, ""), true)
	sees("who asks for no name", &tls.Config{InsecureSkipVerify: true}, true)
	sees("who asks for another name", &tls.Config{ServerName: "other.example.org", InsecureSkipVerify: true}, true)
	sees("a client with no protocol", &tls.Config{ServerName: public, RootCAs: browser(t, root, public).RootCAs}, false)

	// HTTP is the same over both, and of the newest kind.
	for what, trust := range map[string]*tls.Config{"a browser": browser(t, root, public), "an agent": pinned(public, own, "")} {
		c := http.Client{Transport: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
		resp, err := c.Get(r.URL() + "/ssl/ca-certs.pem")
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
			t.Errorf("%s: %s over %s", what, resp.Status, resp.Proto)
		}
	}

	// After a restart the certificate is there, without anybody asked.
	r.stop()
	authority.Stop()
	r = start(t, data)
	r.awaitPublic(t, root)
	info, err := os.Stat(filepath.Join(r.dir, "acme", public))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// Without an authority that answers everybody gets our own, at once.
func TestPublicName_NobodyAnswers(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir(), ACME: config.ACME{Names: []string{public}, Directory: fmt.Sprintf("https://127.0.0.1:%d/dir", pebble.FreePort(t)), AcceptTerms: true}})
	issuer, err := r.dial(&tls.Config{ServerName: public, InsecureSkipVerify: true})
	if err != nil || !strings.HasPrefix(issuer, "Fernwerk issuing CA") {
		t.Errorf("%q, %v", issuer, err)
	}
}

// Two servers on one database have one certificate of the public name. The
// authority, which asks at port 80, may come to either.
func TestPublicName_TwoServers(t *testing.T) {
	t.Parallel()
	database, key := require.Postgres(t), cluster.NewKey().Text()
	port := pebble.FreePort(t)
	authority, cfg := publicAuthority(t, pebble.FreePort(t), port)
	root := authority.Root(t)
	beside := func(name string, cfg config.ACME) server.Config {
		data := t.TempDir()
		if err := os.WriteFile(filepath.Join(data, cluster.KeyFile), []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return server.Config{Data: data, Database: database, Replica: name, ID: "server.example.org", ACME: cfg, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	}
	http01 := cfg
	http01.HTTPListen = fmt.Sprint("127.0.0.1:", port)
	one := start(t, beside("one", http01))
	one.awaitPublic(t, root)
	authority.Stop() // the second finds it in the database
	two := start(t, beside("two", cfg))
	two.awaitPublic(t, root)
	var shown [2]string
	for i, r := range []*running{one, two} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(r.URL(), "https://"), browser(t, root, public))
		if err != nil {
			t.Fatal(err)
		}
		shown[i] = string(conn.ConnectionState().PeerCertificates[0].Raw)
		conn.Close()
		if _, err := os.Stat(filepath.Join(r.dir, "acme")); !os.IsNotExist(err) {
			t.Errorf("keys lie in the folder: %v", err)
		}
	}
	if shown[0] != shown[1] {
		t.Error("they have two certificates")
	}
}
