package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// bearing asks with the server's token, or another one.
func bearing(t *testing.T, s *Server, path, token string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "https://server"+path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHealth_WhoSeesWhat(t *testing.T) {
	s := everything(io.Discard)
	s.Replica = "one"
	s.Parts.Health = func(context.Context) (any, error) { return []string{"database"}, errors.New("the disk is full") }
	for _, role := range []string{"", "reader", "operator", "host", "broken"} {
		w := ask(t, s, "GET", "/healthz", role, nil)
		if w.Code != 503 || strings.TrimSpace(w.Body.String()) != `{"status":"failing"}` || w.Header().Get("Retry-After") == "" {
			t.Errorf("%q sees %d %s", role, w.Code, w.Body)
		}
	}
	for who, w := range map[string]*httptest.ResponseRecorder{
		"an administrator": ask(t, s, "GET", "/healthz", "administrator", nil),
		"the token":        bearing(t, s, "/healthz", "a long enough token"),
	} {
		if w.Code != 503 || !strings.Contains(w.Body.String(), "the disk is full") || !strings.Contains(w.Body.String(), `"database"`) {
			t.Errorf("%s sees %d %s", who, w.Code, w.Body)
		}
	}
	if w := bearing(t, s, "/healthz", "another token"); strings.Contains(w.Body.String(), "disk") {
		t.Errorf("another token sees %s", w.Body)
	}
	if w := ask(t, s, "GET", "/healthz", "", nil); w.Header().Get("X-Fernwerk-Replica") != "one" || w.Header().Get("X-Opsi-Worker-Id") != "one:1" {
		t.Errorf("%v", w.Header())
	}
}

func TestMetrics_WhoMay(t *testing.T) {
	s := everything(io.Discard)
	for role, want := range map[string]int{"": 401, "administrator": 200, "reader": 200, "operator": 403, "host": 403, "depot": 403} {
		if w := ask(t, s, "GET", "/metrics", role, nil); w.Code != want {
			t.Errorf("%q gets %d, want %d", role, w.Code, want)
		}
	}
	for token, want := range map[string]int{"a long enough token": 200, "a long enough toke": 401, "": 401} {
		if w := bearing(t, s, "/metrics", token); w.Code != want {
			t.Errorf("the token %q gets %d, want %d", token, w.Code, want)
		}
		if w := bearing(t, s, "/v1/packages", token); w.Code != 401 {
			t.Errorf("the token %q opens the packages: %d", token, w.Code)
		}
	}
	s.Parts.Token = ""
	if w := bearing(t, s, "/metrics", ""); w.Code != 401 {
		t.Errorf("without a token nothing bears it: %d", w.Code)
	}
}

func TestObserve_NamesRoutesOnly(t *testing.T) {
	s := everything(io.Discard)
	seen := map[string]int{}
	s.Parts.Observe = func(route string, status int, _ int64, _ time.Duration) { seen[route] = status }
	ask(t, s, "GET", "/depot/secret/name", "reader", nil)
	ask(t, s, "GET", "/nowhere/at/all", "", nil)
	if seen["GET /depot/"] != 200 || seen["/"] != 404 || len(seen) != 2 {
		t.Errorf("%v", seen)
	}
}

// Each line that belongs to a request names it.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	s := everything(&out)
	s.Log = slog.New(Lines(slog.NewJSONHandler(&out, nil)))
	s.Parts.RPC = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Log.With("a", 1).InfoContext(r.Context(), "Inside")
		s.Log.Info("Outside")
	})
	id := ask(t, s, "POST", "/rpc", "reader", nil).Header().Get("X-Request-Id")
	found := map[string]int{}
	for line := range strings.SplitSeq(strings.TrimSpace(out.String()), "\n") {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		found[v["msg"].(string)] = strings.Count(line, `"request":"`+id+`"`)
	}
	if found["Inside"] != 1 || found["Request"] != 1 || found["Outside"] != 0 || len(found) != 3 {
		t.Errorf("%v", found)
	}
}

// A server that drains says that it stops, and answers meanwhile.
func TestDrain(t *testing.T) {
	s := everything(io.Discard)
	var stops atomic.Bool
	s.Parts.Stopping = func() { stops.Store(true) }
	s.Parts.Health = func(context.Context) (any, error) {
		if stops.Load() {
			return nil, errors.New("it stops")
		}
		return nil, nil
	}
	s.Drain = 2 * time.Second
	cert := httptest.NewTLSServer(nil)
	defer cert.Close()
	s.TLS = cert.TLS
	var err error
	if s.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	get := func(path string) int {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: cert.Client().Transport.(*http.Transport).TLSClientConfig, DisableKeepAlives: true}}
		resp, err := client.Get("https://" + s.Listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	if got := get("/healthz"); got != http.StatusOK {
		t.Errorf("before: %d", got)
	}
	cancel()
	for get("/healthz") != http.StatusServiceUnavailable {
	}
	if got := get("/ssl/ca-certs.pem"); got != http.StatusOK {
		t.Errorf("other requests meanwhile: %d", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
