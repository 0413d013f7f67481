package command

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
)

// opsi answers as a server that certifies no machines, for a host's key.
type opsi struct{ methods.Backend }

const opsiKey = "0123456789abcdef0123456789abcdef"

func (opsi) Call(context.Context, methods.Actor, string, methods.Params) (any, error) {
	return []any{map[string]any{"type": "OpsiClient", "id": "pc1.example.org", "opsiHostKey": opsiKey}}, nil
}

// A machine joins a server that has no authority to pin, by the mode's name only and
// with the host's key; its commands say whom it knows, and forget.
func TestServerTrust(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/rpc", &rpc.Handler{Backend: opsi{}, Log: slog.New(slog.DiscardHandler), Authenticate: func(r *http.Request) (methods.Actor, error) {
		return methods.Actor{Role: methods.Host, ID: "pc1.example.org"}, nil
	}})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := filepath.Join(t.TempDir(), "agent")
	join := func(more ...string) result {
		return call(t.Context(), append([]string{"join", "--data", dir, "--server", server.URL, "--host-id", "pc1.example.org", "--one-time-password", opsiKey}, more...)...)
	}
	for _, wrong := range [][]string{{}, {"--server-trust", "any"}, {"--server-trust", ""}, {"--server-trust", "authority"},
		{"--server-trust", "first-use", "--ca-fingerprint", strings.Repeat("ab", 32)}} {
		if r := join(wrong...); r.code != 2 {
			t.Errorf("%v: %+v", wrong, r)
		}
	}
	for _, wrong := range [][]string{{"fw1.x.0"}, {"--first-boot", server.URL}} {
		if r := call(t.Context(), append([]string{"join", "--data", dir, "--server-trust", "first-use"}, wrong...)...); r.code != 2 {
			t.Errorf("%v: %+v", wrong, r)
		}
	}
	if r := join("--server-trust", "first-use"); r.code != 0 || !strings.Contains(r.out, "joined "+server.URL+" as pc1.example.org") {
		t.Fatalf("%+v", r)
	}
	print := identity.Fingerprint(server.Certificate())
	if r := call(t.Context(), "trust", "servers", "--data", dir); !strings.Contains(r.out, "first-use") || !strings.Contains(r.out, print+"  127.0.0.1\n") {
		t.Errorf("%+v", r)
	}
	for _, wrong := range [][]string{{}, {"a", "b"}, {"127.0.0.1", "--all"}} {
		if r := call(t.Context(), append([]string{"trust", "forget-server", "--data", dir}, wrong...)...); r.code != 2 {
			t.Errorf("%v: %+v", wrong, r)
		}
	}
	if r := call(t.Context(), "trust", "forget-server", "other.example.org", "--data", dir); r.code != 1 || !strings.Contains(r.err, "trust servers") {
		t.Errorf("%+v", r)
	}
	if r := call(t.Context(), "trust", "forget-server", "127.0.0.1", "--data", dir); r.code != 0 || !strings.Contains(r.out, "forgot 127.0.0.1") {
		t.Errorf("%+v", r)
	}
	if r := call(t.Context(), "trust", "servers", "--data", dir); strings.Contains(r.out, print) {
		t.Errorf("%+v", r)
	}
	pinned := joined(t)
	if r := call(t.Context(), "trust", "servers", "--data", pinned); !strings.Contains(r.out, "authority: ") || !strings.Contains(r.out, print) {
		t.Errorf("%+v", r)
	}
	if r := call(t.Context(), "trust", "forget-server", "--all", "--data", pinned); r.code != 0 || r.out != "" {
		t.Errorf("%+v", r)
	}
}
