package identity

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	host    = "pc1.example.org"
	once    = "one-time password"
	hostKey = "0123456789abcdef0123456789abcdef"
)

// server is one that a machine can join: TLS and the wire are real.
type server struct {
	*httptest.Server
	certs     func(w http.ResponseWriter, r *http.Request) // what /ssl/ca-certs.pem shows
	answer    any                                          // of host_getObjects
	passwords []string                                     // that came, right or wrong
	shows     atomic.Pointer[tls.Certificate]              // its certificate, from the next connection on
}

// Call answers host_getObjects.
func (s *server) Call(_ context.Context, _ methods.Actor, method string, _ methods.Params) (any, error) {
	if method != "host_getObjects" {
		return nil, fmt.Errorf("unexpected call of %s", method)
	}
	return s.answer, nil
}

func (s *server) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func (s *server) fingerprint() string {
	sum := sha256.Sum256(s.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

func newServer(t *testing.T) *server {
	s := &server{answer: []any{map[string]any{"type": "OpsiClient", "id": host, "opsiHostKey": hostKey}}}
	s.certs = func(w http.ResponseWriter, _ *http.Request) { w.Write(s.ca()) }
	mux := http.NewServeMux()
	mux.HandleFunc("/ssl/ca-certs.pem", func(w http.ResponseWriter, r *http.Request) { s.certs(w, r) })
	mux.Handle("/rpc", &rpc.Handler{Backend: s, Log: slog.New(slog.DiscardHandler), Authenticate: func(r *http.Request) (methods.Actor, error) {
		user, password, _ := r.BasicAuth()
		s.passwords = append(s.passwords, password)
		if user != host || password != once && password != hostKey {
			return methods.Actor{}, fleet.Errorf(fleet.Unauthenticated, "nobody we know")
		}
		return methods.Actor{Role: methods.Host, ID: host}, nil
	}})
	s.Server = httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*s.shows.Load()}}, nil
	}}
	s.StartTLS()
	s.shows.Store(&s.TLS.Certificates[0])
	t.Cleanup(s.Close)
	return s
}

func (s *server) request() JoinRequest {
	return JoinRequest{Server: s.URL, HostID: host, OneTimePassword: once, Fingerprint: s.fingerprint()}
}

// otherCA is an authority that is not the server's: a certificate that some
// other program made.
func otherCA(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "other-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestJoin(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, ErrNotJoined) || !strings.Contains(fleet.HintOf(err), "fernwerk-agent join") {
		t.Errorf("before: %v, hint %q", err, fleet.HintOf(err))
	}
	req := s.request()
	req.Server += "/" // as people copy it
	id, err := Join(t.Context(), dir, req)
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{HostID: host, HostKey: hostKey, Server: s.URL, CA: string(s.ca()), dir: dir}
	if id != want {
		t.Errorf("joined as %+v, not %+v", id, want)
	}
	if got, err := Load(dir); err != nil || got != want {
		t.Errorf("kept %+v, error %v", got, err)
	}
	if key, err := os.ReadFile(KeyPath(dir)); err != nil || string(key) != hostKey+"\n" {
		t.Errorf("key file %q, error %v", key, err)
	}
	for _, path := range []string{Path(dir), KeyPath(dir)} {
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, error %v", path, info.Mode(), err)
		}
	}

	client, err := id.Client("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Call(t.Context(), methods.Actor{}, "host_getObjects", methods.Pos()); err != nil {
		t.Errorf("as the host: %v", err)
	}
	client.Logout(t.Context())

	if _, err := Join(t.Context(), dir, s.request()); fleet.CodeOf(err) != fleet.Exists || !strings.Contains(fleet.HintOf(err), Path(dir)) {
		t.Errorf("joining again: %v, hint %q", err, fleet.HintOf(err))
	}
	if got, _ := Load(dir); got != want {
		t.Errorf("joining again made it %+v", got)
	}
}

// Nothing secret leaves the machine before the authority is known to be right,
// and nothing is kept of a join that failed.
func TestJoin_Refused(t *testing.T) {
	for _, test := range []struct {
		name   string
		spoil  func(t *testing.T, s *server, req *JoinRequest)
		code   fleet.Code
		text   string
		hint   string
		secret bool // the password may have been sent
	}{
		{"another server answers", func(_ *testing.T, s *server, req *JoinRequest) {
			req.Fingerprint = strings.Repeat("ab", 32)
		}, fleet.Denied, "the server is not the one that was named", "fingerprint", false},
		{"no fingerprint", func(_ *testing.T, _ *server, req *JoinRequest) { req.Fingerprint = "" }, fleet.Denied, "not given", "fingerprint", false},
		{"a web page", func(_ *testing.T, s *server, _ *JoinRequest) {
			s.certs = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>log in to the hotel's network") }
		}, fleet.Denied, "are none", "fingerprint", false},
		{"no certificates", func(_ *testing.T, s *server, _ *JoinRequest) {
			s.certs = http.NotFound
		}, fleet.Internal, "404", "", false},
		{"an endless file", func(_ *testing.T, s *server, _ *JoinRequest) {
			s.certs = func(w http.ResponseWriter, _ *http.Request) {
				for {
					if _, err := w.Write(make([]byte, 64<<10)); err != nil {
						return
					}
				}
			}
		}, fleet.Denied, "are none", "fingerprint", false},
		{"another's certificate with the right authority", func(t *testing.T, s *server, req *JoinRequest) {
			ca := otherCA(t) // public, so whoever is in between can show it
			block, _ := pem.Decode(ca)
			sum := sha256.Sum256(block.Bytes)
			req.Fingerprint = hex.EncodeToString(sum[:])
			s.certs = func(w http.ResponseWriter, _ *http.Request) { w.Write(ca) }
		}, fleet.Unauthenticated, "cannot trust", "CA certificate", false},
		{"a wrong password", func(_ *testing.T, _ *server, req *JoinRequest) { req.OneTimePassword = "guessed" },
			fleet.Unauthenticated, "", "one-time password works once", true},
		{"no key for the host", func(_ *testing.T, s *server, _ *JoinRequest) { s.answer = []any{} }, fleet.NotFound, "no key for host", "", true},
		{"an empty key", func(_ *testing.T, s *server, _ *JoinRequest) {
			s.answer = []any{map[string]any{"type": "OpsiClient", "id": host, "opsiHostKey": ""}}
		}, fleet.NotFound, "no key for host", "", true},
		{"nobody there", func(_ *testing.T, s *server, _ *JoinRequest) { s.Close() }, fleet.Unavailable, "does not answer", "fernwerkd runs", false},
		{"no https", func(_ *testing.T, s *server, req *JoinRequest) {
			req.Server = strings.Replace(s.URL, "https", "http", 1)
		},
			fleet.Invalid, "address", "https://SERVER:4447", false},
		{"no scheme", func(_ *testing.T, s *server, req *JoinRequest) { req.Server = strings.TrimPrefix(s.URL, "https://") },
			fleet.Invalid, "address", "https://SERVER:4447", false},
		{"a host id that is none", func(_ *testing.T, _ *server, req *JoinRequest) { req.HostID = "PC 1" }, fleet.Invalid, "PC 1", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			req := s.request()
			test.spoil(t, s, &req)
			dir := t.TempDir()
			_, err := Join(t.Context(), dir, req)
			if fleet.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.text) || !strings.Contains(fleet.HintOf(err), test.hint) {
				t.Errorf("error (%s) %v, hint %q", fleet.CodeOf(err), err, fleet.HintOf(err))
			}
			if !test.secret && len(s.passwords) > 0 {
				t.Errorf("the server was sent %q", s.passwords)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%v was kept", left)
			}
		})
	}
}

// Whoever stands in between at the first contact can add an authority of his
// own to the file; it must not be trusted later.
func TestJoin_KeepsThePinnedAuthorityOnly(t *testing.T) {
	for _, first := range []bool{true, false} {
		s := newServer(t)
		file := [][]byte{s.ca(), otherCA(t)}
		if first {
			slices.Reverse(file)
		}
		s.certs = func(w http.ResponseWriter, _ *http.Request) { w.Write(slices.Concat(file...)) }
		id, err := Join(t.Context(), t.TempDir(), s.request())
		if err != nil {
			t.Fatal(err)
		}
		if id.CA != string(s.ca()) {
			t.Errorf("trusted from now on:\n%s", id.CA)
		}
	}
}

// The port that nobody names is the protocol's.
func TestAddress(t *testing.T) {
	for server, want := range map[string]string{
		"https://server": "https://server:4447", "https://server/": "https://server:4447", "https://server:8443": "https://server:8443",
		"https://[::1]": "https://[::1]:4447", "https://[::1]:1": "https://[::1]:1",
		"http://server": "", "server:4447": "", "https://": "", "https://:4447": "", "https://a:b@server": "", "https://server/rpc": "", "https://server?x": "", "": "",
	} {
		u, err := address(server)
		if got := fmt.Sprint(u); want == "" && err == nil || want != "" && (err != nil || got != want) {
			t.Errorf("%q is %s, error %v", server, got, err)
		}
	}
}

// A file that is damaged is an error with a way out, never an identity: an
// empty key would open the local service to everybody.
func TestLoad_Damaged(t *testing.T) {
	s := newServer(t)
	good := Identity{HostID: host, HostKey: hostKey, Server: s.URL, CA: string(s.ca())}
	dir := t.TempDir()
	if err := good.save(dir); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"empty": nil, "cut": whole[:len(whole)/2], "zeros": make([]byte, len(whole)), "another": []byte("{}"), "null": []byte("null")}
	for name, spoil := range map[string]func(id *Identity){
		"no key": func(id *Identity) { id.HostKey = "" }, "no host": func(id *Identity) { id.HostID = "" },
		"no server": func(id *Identity) { id.Server = "" }, "no authority": func(id *Identity) { id.CA = "" },
		"no certificate": func(id *Identity) { id.CA = "gone" }, "plain": func(id *Identity) { id.Server = "http://server:4447" },
	} {
		id, other := good, t.TempDir()
		spoil(&id)
		if err := id.save(other); err != nil {
			t.Fatal(err)
		}
		if files[name], err = os.ReadFile(Path(other)); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range files {
		if err := os.WriteFile(Path(dir), data, 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := Load(dir)
		if fleet.CodeOf(err) != fleet.Invalid || !strings.Contains(err.Error(), Path(dir)) || !strings.Contains(fleet.HintOf(err), "join again") || id != (Identity{}) {
			t.Errorf("%s: %+v, error %v, hint %q", name, id, err, fleet.HintOf(err))
		}
		if _, err := Join(t.Context(), dir, s.request()); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: joining over it: %v", name, err)
		}
	}
}

// The host key goes to the server that was pinned, and follows no redirection.
func TestHTTP(t *testing.T) {
	s := newServer(t)
	elsewhere := newServer(t)
	var came []string
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		came = append(came, user+":"+password+" "+r.UserAgent())
		http.Redirect(w, r, elsewhere.URL+"/rpc", http.StatusTemporaryRedirect)
	}))
	front.TLS = &tls.Config{Certificates: s.TLS.Certificates}
	front.StartTLS()
	t.Cleanup(front.Close)
	id := Identity{HostID: host, HostKey: hostKey, Server: front.URL, CA: string(s.ca())}
	get := func() (*http.Response, error) {
		client, prepare, err := id.HTTP("test/1")
		if err != nil {
			t.Fatal(err)
		}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), "GET", id.Server+"/v1/depot/x/tree", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := prepare(req); err != nil {
			t.Fatal(err)
		}
		return client.Do(req)
	}
	resp, err := get()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := []string{host + ":" + hostKey + " test/1"}; !slices.Equal(came, want) || resp.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("%s, the server was sent %q", resp.Status, came)
	}
	if len(elsewhere.passwords) > 0 {
		t.Errorf("the key followed: %q", elsewhere.passwords)
	}
	id.CA = string(otherCA(t))
	came = nil
	if _, err := get(); err == nil || len(came) > 0 {
		t.Errorf("a server of another authority was sent %q, error %v", came, err)
	}
	client, err := id.Client("test/1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Call(t.Context(), methods.Actor{}, "host_getObjects", methods.Pos())
	if fleet.CodeOf(err) != fleet.Unauthenticated || fleet.HintOf(err) == "" || len(came) > 0 {
		t.Errorf("a server of another authority: %v, hint %q", err, fleet.HintOf(err))
	}
}
