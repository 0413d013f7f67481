package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/require/postgres"
)

const token = "a token that a program made"

// asked is one answer.
type asked struct {
	status int
	retry  string
	body   map[string]any
	text   string
}

// ask sends a call, or a GET if method is a path, as administrator or with the
// token.
func (r *running) ask(t *testing.T, what string, params ...any) asked {
	t.Helper()
	c := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: r.trust(t)}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, r.URL()+what, nil)
	if !strings.HasPrefix(what, "/") {
		body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": what, "params": params})
		req, err = http.NewRequest(http.MethodPost, r.URL()+"/rpc", strings.NewReader(string(body)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if req.Method == http.MethodPost {
		req.SetBasicAuth("admin", password)
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := asked{status: resp.StatusCode, retry: resp.Header.Get("Retry-After"), text: string(text)}
	json.Unmarshal(text, &a.body)
	return a
}

// await asks until the answer is as wanted.
func (r *running) await(t *testing.T, what string, status int) asked {
	t.Helper()
	late := time.After(60 * time.Second)
	for {
		a := r.ask(t, what)
		if a.status == status {
			return a
		}
		select {
		case <-late:
			t.Fatalf("%s stays %d: %s", what, a.status, a.text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// failing checks the answers of a server that cannot write: clear, and with a
// time to come back.
func (r *running) failing(t *testing.T, part string) {
	t.Helper()
	well := r.await(t, "/healthz", 503)
	if well.retry == "" || !strings.Contains(well.text, `"name":"`+part+`","ok":false`) {
		t.Errorf("/healthz with the token: %+v", well)
	}
	if resp, body := r.get(t, "/healthz"); resp.StatusCode != 503 || strings.TrimSpace(body) != `{"status":"failing"}` {
		t.Errorf("/healthz for anybody: %s %s", resp.Status, body)
	}
	refused := r.ask(t, "host_createOpsiClient", "lost.example.org")
	if refused.status != 503 || refused.retry == "" || !strings.Contains(refused.text, "the database") || strings.Contains(refused.text, "user=") {
		t.Errorf("a call: %+v", refused)
	}
	if m := r.ask(t, "/metrics"); m.status != 200 || !strings.Contains(m.text, "fernwerk_healthy 0") {
		t.Errorf("/metrics: %d, healthy %v", m.status, strings.Contains(m.text, "fernwerk_healthy 1"))
	}
}

func (r *running) works(t *testing.T, id string) {
	t.Helper()
	r.await(t, "/healthz", 200)
	if a := r.ask(t, "host_createOpsiClient", id); a.status != 200 || a.body["error"] != nil {
		t.Errorf("a call: %+v", a)
	}
	if m := r.ask(t, "/metrics"); m.status != 200 || !strings.Contains(m.text, "fernwerk_healthy 1") {
		t.Errorf("/metrics: %d", m.status)
	}
}

// PostgreSQL goes away under a running server, twice, and comes back.
func TestOutage_Database(t *testing.T) {
	if _, err := postgres.Bin(); err != nil {
		require.Skip(t, "PostgreSQL", err.Error())
	}
	db, err := postgres.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	r := start(t, server.Config{Data: t.TempDir(), Database: db.URL, MetricsToken: token})
	r.works(t, "pc1.example.org")
	for _, id := range []string{"pc2.example.org", "pc3.example.org"} {
		if err := db.Interrupt(); err != nil {
			t.Fatal(err)
		}
		r.failing(t, "database")
		if err := db.Resume(); err != nil {
			t.Fatal(err)
		}
		r.works(t, id)
	}
	if a := r.ask(t, "host_getIdents", "str", map[string]any{"type": "OpsiClient"}); len(a.body["result"].([]any)) != 3 {
		t.Errorf("%s", a.text)
	}
}

// The disk fills up under a running server, and has room again.
func TestOutage_DiskFull(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		require.Skip(t, "a small file system", err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	r := start(t, server.Config{Data: filepath.Join(dir, "data"), MetricsToken: token})
	r.works(t, "pc1.example.org")
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // to the last byte
		_, err = f.Write(make([]byte, 4<<10))
	}
	f.Close()
	r.failing(t, "data folder")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	r.works(t, "pc2.example.org")
}
