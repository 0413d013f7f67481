package rpc

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc/wire"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Nobody gets the server's memory by sending much at once, and nobody who does
// keeps the others out.
func TestBudget(t *testing.T) {
	evil, good := methods.Actor{Role: methods.Host, ID: "evil.example.org"}, methods.Actor{Role: methods.Host, ID: "good.example.org"}
	who := evil
	h := &Handler{
		Backend: &shelf{}, Log: slog.New(slog.DiscardHandler), Limits: Limits{Memory: 128 << 20},
		Authenticate: func(*http.Request) (methods.Actor, error) { return who, nil },
	}
	send := func(params string, encoding string) *httptest.ResponseRecorder {
		t.Helper()
		body, err := wire.Pack([]byte(`{"id":1,"method":"echo","params":[`+params+`]}`), encoding)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/rpc", bytes.NewReader(body))
		r.Header.Set("Content-Encoding", encoding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	values := func(n int) string { return strings.Repeat("1,", n) + "1" }
	text := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	for _, tt := range []struct {
		name, params string
		status       int
	}{
		{"small", values(100), 200},
		{"as large as may be", values(150_000), 200},
		{"many values", values(270_000), 413},
		{"long text", text(8 << 20), 200},
		{"longer text", text(34 << 20), 413},
	} {
		for _, e := range append(wire.Encodings, "") {
			if strings.Contains(tt.name, "text") && e != "" && e != "zstd" {
				continue // packing takes its time
			}
			w := send(tt.params, e)
			if w.Code != tt.status {
				t.Errorf("%s, %q: %d %.200s", tt.name, e, w.Code, w.Body)
			}
		}
	}
	if h.memory.used != 0 || len(h.memory.by) != 0 {
		t.Fatalf("not given back: %d, %v", h.memory.used, h.memory.by)
	}
	under := h.memory.share("request", 128<<20, evil) // a large request that is under way
	if err := under.take(16 << 20); err != nil {
		t.Fatal(err)
	}
	if w := send(values(150_000), ""); w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), string(fleet.Unavailable)) {
		t.Errorf("another large one: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := send(values(100), ""); w.Code != 200 {
		t.Errorf("a small one beside it: %d %s", w.Code, w.Body)
	}
	who = good
	if w := send(values(150_000), ""); w.Code != 200 {
		t.Errorf("somebody else's: %d %s", w.Code, w.Body)
	}
	under.release()
	who = evil
	if w := send(values(150_000), ""); w.Code != 200 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}
