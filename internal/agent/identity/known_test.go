package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// certificateOf makes a certificate of one's own for this machine's addresses: what
// somebody in the middle has.
func certificateOf(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (s *server) firstUse() JoinRequest {
	req := s.request()
	req.Fingerprint, req.ServerTrust = "", FirstUse
	return req
}

// become lets the server show another certificate from the next connection on, and
// ends those that there are.
func (s *server) become(c tls.Certificate) {
	s.shows.Store(&c)
	s.CloseClientConnections()
}

// A changed certificate is refused before anything secret is sent, in each way to
// know a server; what differs is the way out.
func TestServerTrust_ManInTheMiddle(t *testing.T) {
	for name, request := range map[string]func(*server) JoinRequest{"authority": (*server).request, "first-use": (*server).firstUse} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			dir := t.TempDir()
			id, err := Join(t.Context(), dir, request(s))
			if err != nil {
				t.Fatal(err)
			}
			ask := func() error {
				client, prepare, err := id.HTTP("test")
				if err != nil {
					t.Fatal(err)
				}
				defer client.CloseIdleConnections()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/ssl/ca-certs.pem", nil)
				if err != nil || prepare(req) != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err == nil {
					resp.Body.Close()
				}
				return err
			}
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			before := len(s.passwords)
			genuine := *s.shows.Load()
			s.become(certificateOf(t, "in the middle"))
			err = ask()
			if _, refused := errors.AsType[*tls.CertificateVerificationError](err); !refused {
				t.Fatalf("another certificate: %v", err)
			}
			if len(s.passwords) != before {
				t.Error("something secret was sent to it")
			}
			c, err := id.Client("test")
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Call(t.Context(), methods.Actor{}, "host_getObjects", methods.Pos([]any{}, map[string]any{"id": host}))
			if fleet.CodeOf(err) != fleet.Unauthenticated || len(s.passwords) != before {
				t.Errorf("by the methods: %v", err)
			}
			if name == "first-use" {
				if hint := fleet.HintOf(err); !strings.Contains(hint, "fernwerk-agent trust forget-server 127.0.0.1") {
					t.Errorf("its hint: %q", hint)
				}
			}
			forgotten, err := ForgetServers(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			err = ask()
			if name == "first-use" && (err != nil || !slices.Equal(forgotten, []string{"127.0.0.1"})) {
				t.Errorf("after the stored one was deleted (%v): %v", forgotten, err)
			}
			if name == "authority" && (err == nil || len(forgotten) != 0) {
				t.Errorf("a pinned authority was forgotten (%v): %v", forgotten, err)
			}
			s.become(genuine)
			if err = ask(); (err == nil) != (name == "authority") {
				t.Errorf("the first certificate again: %v", err)
			}
		})
	}
}

// What is stored is what the server showed, under its address, and nothing but the
// mode's name makes a machine store anything.
func TestFirstUse_Stored(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	id, err := Join(t.Context(), dir, s.firstUse())
	if err != nil {
		t.Fatal(err)
	}
	if id.HostKey != hostKey || id.CA != "" || id.ServerTrust != FirstUse {
		t.Errorf("joined as %+v", id)
	}
	data, err := os.ReadFile(filepath.Join(dir, "server-certs", "127.0.0.1.pem"))
	if err != nil || string(data) != string(s.ca()) {
		t.Errorf("stored %q, error %v", data, err)
	}
	if again, err := Load(dir); err != nil || again != id {
		t.Errorf("kept %+v, error %v", again, err)
	}
	// A depot is known by its own address.
	at := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	client, _, err := id.HTTPTo("test", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(at + "/ssl/ca-certs.pem")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	known, err := KnownServers(dir)
	if err != nil || len(known) != 2 || known[1].Server != "localhost" || known[1].SHA256 != s.fingerprint() {
		t.Errorf("known: %+v, error %v", known, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "server-certs", "localhost.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Get(at + "/ssl/ca-certs.pem"); err == nil || fleet.HintOf(err) == "" {
		t.Errorf("with a damaged one: %v, %v", resp, err)
	}
	if known, _ := KnownServers(dir); len(known) != 2 || known[1].Damaged == "" {
		t.Errorf("a damaged one: %+v", known)
	}
	if gone, err := ForgetServers(dir, "LOCALHOST."); err != nil || !slices.Equal(gone, []string{"localhost"}) {
		t.Errorf("forgot %v, error %v", gone, err)
	}
	if _, err := ForgetServers(dir, "localhost"); fleet.CodeOf(err) != fleet.NotFound || fleet.HintOf(err) == "" {
		t.Errorf("forgotten twice: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "server-certs", "127.0.0.1.pem")); err != nil {
		t.Errorf("another one: %v", err)
	}

	pinned := t.TempDir()
	if _, err := Join(t.Context(), pinned, s.request()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(CertificatesDir(pinned)); err == nil {
		t.Error("a machine with a pinned authority stores certificates")
	}
}

// Without the mode's name nobody is believed at first sight.
func TestFirstUse_OnlyByName(t *testing.T) {
	s := newServer(t)
	for name, change := range map[string]func(*JoinRequest){
		"no name":     func(r *JoinRequest) { r.ServerTrust = "" },
		"wrong name":  func(r *JoinRequest) { r.ServerTrust = "first" },
		"fingerprint": func(r *JoinRequest) { r.Fingerprint = s.fingerprint() },
	} {
		req := s.firstUse()
		change(&req)
		if id, err := Join(t.Context(), t.TempDir(), req); err == nil {
			t.Errorf("%s: joined as %+v", name, id)
		}
	}
	if len(s.passwords) != 0 {
		t.Errorf("passwords were sent: %q", s.passwords)
	}
	for name, change := range map[string]func(*Identity){
		"an authority beside it": func(id *Identity) { id.CA = string(s.ca()) }, "another name": func(id *Identity) { id.ServerTrust = "tofu" },
		"neither": func(id *Identity) { id.ServerTrust = "" },
	} {
		id := Identity{HostID: host, HostKey: hostKey, Server: s.URL, ServerTrust: FirstUse, dir: t.TempDir()}
		change(&id)
		if err := id.check(); err == nil {
			t.Errorf("%s: it is an identity", name)
		}
	}
}

// Of connections that are made side by side one decides for all.
func TestFirstUse_SideBySide(t *testing.T) {
	dir := t.TempDir()
	id := Identity{HostID: host, HostKey: hostKey, Server: "https://server.example.org", ServerTrust: FirstUse, dir: dir}
	var all sync.WaitGroup
	accepted := make(chan string, 16)
	for _, c := range []tls.Certificate{certificateOf(t, "one"), certificateOf(t, "other")} {
		for range 8 {
			all.Go(func() {
				if id.recognise([]*x509.Certificate{c.Leaf}, "server.example.org") == nil {
					accepted <- c.Leaf.Subject.CommonName
				}
			})
		}
	}
	all.Wait()
	close(accepted)
	var names []string
	for n := range accepted {
		names = append(names, n)
	}
	if len(names) != 8 || len(slices.Compact(names)) != 1 {
		t.Errorf("accepted: %v", names)
	}
}

func TestCertificateFile(t *testing.T) {
	for host, want := range map[string]string{
		"server.example.org": "server.example.org.pem", "SERVER.example.org.": "server.example.org.pem", "192.0.2.7": "192.0.2.7.pem", "srv": "srv.pem",
		"2001:db8::1": "2001-db8--1.ipv6-literal.net.pem", "[2001:DB8::1]": "2001-db8--1.ipv6-literal.net.pem", "::1": "0--1.ipv6-literal.net.pem",
		"fe80::1%eth0": "fe80--1seth0.ipv6-literal.net.pem",
		"":             "", "..": "", "../x": "", "a/b": "", `a\b`: "", "a..b": "", "a:b": "", "-a": "", "a b": "",
	} {
		if got, err := certificateFile(host); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, error %v", host, got, err)
		}
	}
}

func FuzzCertificateFile(f *testing.F) {
	for _, s := range []string{"server.example.org", "::1", "fe80::1%../../x", "fe80::1%a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name, err := certificateFile(host)
		if err != nil {
			return
		}
		if !filepath.IsLocal(name) || filepath.Base(name) != name || strings.ContainsAny(name, `:\/`) {
			t.Errorf("%q is stored in %q", host, name)
		}
		again, err := certificateFile(strings.TrimSuffix(name, certificateExt))
		if err != nil || again != name {
			t.Errorf("%q is %q, and that %q (%v)", host, name, again, err)
		}
	})
}
