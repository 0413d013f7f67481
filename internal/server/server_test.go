package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/access"
	"github.com/fernwerk/fernwerk/test/require"
)

const password = "correct horse"

// running is a server that serves until stop, or the test's end.
type running struct {
	*server.Server
	dir  string
	stop func()
}

// start runs a server on a free port of the loopback.
func start(t *testing.T, cfg server.Config) *running {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.AdminPassword == "" {
		cfg.AdminPassword = password
	}
	s, err := server.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stop := func() {
		cancel()
		if err, ok := <-done; ok && err != nil {
			t.Errorf("the server stopped with %v", err)
		}
	}
	r := &running{Server: s, dir: cfg.Data}
	stopped := false
	r.stop = func() {
		if !stopped {
			stopped = true
			stop()
		}
	}
	t.Cleanup(r.stop)
	return r
}

func (r *running) trust(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(r.dir, "ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pin.Config("127.0.0.1", pem, "")
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func (r *running) client(t *testing.T, user, password string) *rpc.Client {
	t.Helper()
	c, err := rpc.NewClient(rpc.Options{
		URL: r.URL(), User: user, TLS: r.trust(t), UserAgent: "test",
		Password: func(context.Context) (string, error) { return password, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func call(t *testing.T, c *rpc.Client, method string, args ...any) any {
	t.Helper()
	v, err := c.Call(t.Context(), methods.Actor{}, method, methods.Pos(args...))
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return v
}

// get asks without credentials.
func (r *running) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{TLSClientConfig: r.trust(t)}}
	defer c.CloseIdleConnections()
	resp, err := c.Get(r.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// The whole suite of backends, through HTTPS, login and the wire.
func TestOverRPC(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir(), HostControl: loopbackOnly, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	backendtest.Run(t, r.client(t, "admin", password))
}

func TestFirstStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	var log bytes.Buffer
	r := start(t, server.Config{Data: dir, Version: "1.2.3", Log: slog.New(slog.NewTextHandler(&log, nil))})
	for path, mode := range map[string]fs.FileMode{".": 0o700, "ca/ca.key": 0o600, "ca/server.pem": 0o600, "fernwerk.db": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), mode)
		}
	}
	pem, _ := os.ReadFile(filepath.Join(dir, "ca", "ca.pem"))
	for _, path := range []string{"/ssl/ca-certs.pem", "/ssl/opsi-ca-cert.pem"} {
		if resp, body := r.get(t, path); resp.StatusCode != 200 || body != string(pem) {
			t.Errorf("%s: %s, %q", path, resp.Status, body)
		}
	}
	resp, body := r.get(t, "/healthz")
	if resp.StatusCode != 200 || resp.Header.Get("Server") != "opsiconfd 4.3.24 (fernwerk 1.2.3)" || resp.Header.Get("X-Date-Unix-Timestamp") == "" {
		t.Errorf("healthz: %s %v %s", resp.Status, resp.Header, body)
	}
	c := r.client(t, "admin", password)
	own := call(t, c, "host_getObjects", []any{}, map[string]any{"type": "OpsiConfigserver"}).([]any)
	if len(own) != 1 {
		t.Fatalf("%d config servers", len(own))
	}
	row := own[0].(map[string]any)
	if row["id"] != r.ID() || row["depotWebdavUrl"] != strings.Replace(r.URL(), "https", "webdavs", 1)+"/depot" || fleet.ValidHostID(r.ID()) != nil {
		t.Errorf("own row: %v", row)
	}
	call(t, c, "host_createOpsiClient", "pc1.example.org")
	want := map[string]any{"pc1.example.org": map[string]any{
		"clientconfig.depot.id": []any{r.ID()}, "clientconfig.depot.protocol": []any{"webdav"}, "opsiclientd.event_timer.active": []any{false},
	}}
	got := call(t, c, "configState_getValues", []any{"clientconfig.depot.id", "clientconfig.depot.protocol", "opsiclientd.event_timer.active"}, []any{"pc1.example.org"})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("parameters (-want +got):\n%s", d)
	}
	r.stop()
	if strings.Contains(log.String(), password) || !strings.Contains(log.String(), "fingerprint=") {
		t.Errorf("log: %s", log.String())
	}
}

// A client that knows the authority's fingerprint only, from a token, finds the
// authority in what the server shows.
func TestFingerprintIsEnough(t *testing.T) {
	var log bytes.Buffer
	r := start(t, server.Config{Data: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	_, fingerprint, _ := strings.Cut(log.String(), "fingerprint=")
	trust, err := pin.Config("127.0.0.1", nil, strings.TrimSpace(fingerprint))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.URL(), "https://"), trust)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if v := conn.ConnectionState().Version; v != tls.VersionTLS13 {
		t.Errorf("TLS version %x", v)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	shown := 0
	cfg := server.Config{Data: dir, Listen: "127.0.0.1:0", ID: "first.example.org", AdminPassword: ""}
	var made string
	cfg.ShowPassword = func(name, password string) error { shown++; made = password; return nil }
	s, err := server.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // opened, never served
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, "ca", "ca.pem"))

	cfg.ID, cfg.AdminPassword = "second.example.org", "ignored"
	r := start(t, cfg)
	c := r.client(t, "admin", made)
	call(t, c, "host_createOpsiClient", "pc1.example.org")
	call(t, c, "log_write", "instlog", "done\n", "pc1.example.org")
	r.stop()

	r = start(t, cfg)
	if r.ID() != "first.example.org" || shown != 1 {
		t.Errorf("id %s, password shown %d times", r.ID(), shown)
	}
	c = r.client(t, "admin", made)
	if v := call(t, c, "log_read", "instlog", "pc1.example.org"); v != "done\n" {
		t.Errorf("log %q", v)
	}
	own := call(t, c, "host_getObjects", []any{"depotWebdavUrl"}, map[string]any{"id": r.ID()}).([]any)[0].(map[string]any)
	if want := strings.Replace(r.URL(), "https", "webdavs", 1) + "/depot"; own["depotWebdavUrl"] != want {
		t.Errorf("the row says %v, the server is at %s", own["depotWebdavUrl"], want)
	}
	url := call(t, c, "config_getObjects", []any{"defaultValues"}, map[string]any{"id": "clientconfig.configserver.url"}).([]any)[0].(map[string]any)
	if d := cmp.Diff([]any{r.URL() + "/rpc"}, url["defaultValues"]); d != "" {
		t.Errorf("the parameter did not follow:\n%s", d)
	}
	after, _ := os.ReadFile(filepath.Join(dir, "ca", "ca.pem"))
	if !bytes.Equal(before, after) {
		t.Error("the authority changed")
	}
	if _, err := r.client(t, "admin", "ignored").Call(t.Context(), methods.Actor{}, "backend_info", methods.Params{}); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a later FERNWERK_ADMIN_PASSWORD got in: %v", err)
	}
}

func TestRefusesToStart(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  server.Config
		code fleet.Code
		text string
	}{
		{"a second server", server.Config{Data: r.dir, Listen: "127.0.0.1:0"}, fleet.Locked, "process "},
		{"a port in use", server.Config{Data: t.TempDir(), Listen: strings.TrimPrefix(r.URL(), "https://")}, fleet.Locked, "cannot listen on"},
		{"not our address", server.Config{Data: t.TempDir(), Listen: "192.0.2.1:0"}, fleet.Internal, "cannot listen on"},
		{"a file for a folder", server.Config{Data: filepath.Join(file, "x"), Listen: "127.0.0.1:0"}, fleet.Internal, "cannot make data folder"},
		{"nonsense", server.Config{Data: t.TempDir(), Listen: "nowhere"}, fleet.Internal, "listen: "},
	} {
		s, err := server.New(t.Context(), tt.cfg)
		if err == nil {
			s.Close()
		}
		if fleet.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.name != "nonsense" && fleet.HintOf(err) == "" {
			t.Errorf("%s: no hint", tt.name)
		}
	}
	if resp, _ := r.get(t, "/healthz"); resp.StatusCode != 200 {
		t.Errorf("the first server suffered: %s", resp.Status)
	}
}

// A failed start gives everything back: the next one finds folder and port free.
func TestFailedStartLeavesNothingHeld(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "ca"), 0o700); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "ca", "ca.pem")
	if err := os.WriteFile(broken, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	cfg := server.Config{Data: dir, Listen: listen, AdminPassword: password}
	if _, err := server.New(t.Context(), cfg); err == nil || fleet.HintOf(err) == "" {
		t.Fatalf("started on a broken authority: %v", err)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	start(t, cfg).stop()
}

func TestOnPostgreSQL(t *testing.T) {
	url := require.Postgres(t)
	cfg := server.Config{Data: t.TempDir(), Database: url}
	r := start(t, cfg)
	id := r.ID()
	r.stop()
	r = start(t, cfg)
	if r.ID() != id {
		t.Errorf("id %s, then %s", id, r.ID())
	}
	call(t, r.client(t, "admin", password), "backend_info")
	if _, err := os.Stat(filepath.Join(r.dir, "fernwerk.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a SQLite file: %v", err)
	}
}

// The parts hang together: the depot's paths answer who may see them.
func TestDepotIsMounted(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	const key = "0123456789abcdef0123456789abcdef"
	call(t, r.client(t, "admin", password), "host_createObjects", fleet.Row{"type": fleet.OpsiClient, "id": "pc1.example.org", "opsiHostKey": key})
	c := http.Client{Transport: &http.Transport{TLSClientConfig: r.trust(t)}}
	defer c.CloseIdleConnections()
	for _, tt := range []struct {
		method, path, user, password string
		status                       int
	}{
		{"PROPFIND", "/depot/", "", "", 401},
		{"PROPFIND", "/depot/", "pc1.example.org", key, 207},
		{"PROPFIND", "/depot", "pc1.example.org", key, 207},
		{"PUT", "/depot/x", "pc1.example.org", key, 403},
		{"PUT", "/depot/x", "admin", password, 405},
		{"PUT", "/repository/x.opsi", "pc1.example.org", key, 403},
		{"PROPFIND", "/repository/", "admin", password, 207},
		{"GET", "/v1/depot/none/tree", "", "", 401},
		{"GET", "/v1/depot/none/tree", "pc1.example.org", key, 404},
		{"GET", "/v1/packages", "pc1.example.org", key, 200},
		{"PUT", "/v1/packages/x.opsi", "pc1.example.org", key, 403},
		{"PUT", "/v1/packages/x.opsi", "admin", password, 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, r.URL()+tt.path, strings.NewReader("no package"))
		if tt.method == "PROPFIND" || tt.method == "GET" {
			req.Body, req.ContentLength = http.NoBody, 0
			req.Header.Set("Depth", "1")
		}
		if err != nil {
			t.Fatal(err)
		}
		if tt.user != "" {
			req.SetBasicAuth(tt.user, tt.password)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s %s as %q: %s, want %d: %.200s", tt.method, tt.path, tt.user, resp.Status, tt.status, body)
		}
	}
}

// What passwd does counts at the next start, for the account that it named.
func TestAccounts(t *testing.T) {
	cfg := server.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", AdminPassword: password}
	r := start(t, cfg)
	if err := server.Accounts(t.Context(), cfg, nil); fleet.CodeOf(err) != fleet.Locked {
		t.Errorf("on a running server: %v", err)
	}
	r.stop()
	err := server.Accounts(t.Context(), cfg, func(a *access.Access) error {
		if _, err := a.SetPassword(t.Context(), "admin", "", "new one"); err != nil {
			return err
		}
		if _, err := a.SetPassword(t.Context(), "nobody", "", "x"); fleet.CodeOf(err) != fleet.NotFound {
			t.Errorf("an account without a role: %v", err)
		}
		_, err := a.SetPassword(t.Context(), "berta", methods.Reader, "reads")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r = start(t, cfg)
	if v := call(t, r.client(t, "admin", "new one"), "accessControl_userIsAdmin"); v != true {
		t.Errorf("admin is administrator: %v", v)
	}
	if v := call(t, r.client(t, "berta", "reads"), "accessControl_userIsAdmin"); v != false {
		t.Errorf("berta is administrator: %v", v)
	}
	if _, err := r.client(t, "admin", password).Call(t.Context(), methods.Actor{}, "backend_info", methods.Params{}); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("the former password: %v", err)
	}
	r.stop()
	if err := server.Accounts(t.Context(), cfg, func(a *access.Access) error { return a.RemoveAccount(t.Context(), "berta") }); err != nil {
		t.Fatal(err)
	}
	r = start(t, cfg)
	if _, err := r.client(t, "berta", "reads").Call(t.Context(), methods.Actor{}, "backend_info", methods.Params{}); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a removed account: %v", err)
	}
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "data")
}
