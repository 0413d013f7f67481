package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

const (
	host = "pc1.example.org"
	key  = "0123456789abcdef0123456789abcdef"
)

// steered is an agent as the service sees it; it also answers /rpc.
type steered struct {
	RunOnce
	NodeFiles
	Reboots
	status Status
	actors []methods.Actor
}

func (s *steered) Fire(_ context.Context, event string) (string, error) {
	if event != "timer" {
		return "", fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot fire event %q", event), "fire another")
	}
	return "change of timer", nil
}

func (s *steered) AskReboot(_ context.Context, wait time.Duration) error {
	if wait != 0 {
		return fleet.Errorf(fleet.Conflict, "in %v", wait)
	}
	return nil
}

func (s *steered) Uptime() (time.Duration, error) { return 90*time.Second + time.Millisecond, nil }

func (s *steered) Status(context.Context) (Status, error) { return s.status, nil }

func (s *steered) Change(_ context.Context, id string) (ChangeDetail, error) {
	if id != "1" {
		return ChangeDetail{}, fleet.Errorf(fleet.NotFound, "no change %s", id)
	}
	return ChangeDetail{ChangeStatus: ChangeStatus{ID: id, Event: "timer", Status: "done"}, Tasks: []TaskStatus{{Kind: "cache", Attempts: 2}}}, nil
}

func (s *steered) Timeline(_ context.Context, limit int) ([]Line, error) {
	return []Line{{Text: fmt.Sprintf("at most %d lines", limit)}}, nil
}

func (s *steered) Call(_ context.Context, actor methods.Actor, method string, _ methods.Params) (any, error) {
	s.actors = append(s.actors, actor)
	return "cache: " + method, nil
}

func config(dir string, agent *steered) Config {
	return Config{DataDir: dir, Listen: "127.0.0.1:0", HostID: host, HostKey: key, Version: "1", Cache: agent, Agent: agent, Log: slog.New(slog.DiscardHandler)}
}

// start serves until the returned function is called or the test ends.
func start(t *testing.T, cfg Config) (s *Service, stop func()) {
	t.Helper()
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func dial(t *testing.T, dir, password string) *Client {
	t.Helper()
	c, err := Dial(dir, host, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.rpc.Logout(context.Background()) })
	return c
}

func TestClient(t *testing.T) {
	dir := t.TempDir()
	agent := &steered{status: Status{HostID: host, Running: "1", Event: "timer", Flags: map[string]bool{"installation_pending": true, "config_cached": false},
		Cache: CacheStatus{Products: []ProductStatus{{ProductID: "firefox", BytesTotal: 1 << 60}}}}}
	start(t, config(dir, agent))
	c := dial(t, dir, key)
	if st, err := c.Status(t.Context()); err != nil || cmp.Diff(agent.status, st) != "" {
		t.Errorf("status, error %v: %s", err, cmp.Diff(agent.status, st))
	}
	if id, err := c.Fire(t.Context(), "timer"); id != "change of timer" || err != nil {
		t.Errorf("fired %q, error %v", id, err)
	}
	if _, err := c.Fire(t.Context(), "party"); fleet.CodeOf(err) != fleet.NotFound || fleet.HintOf(err) != "fire another" {
		t.Errorf("an unknown event: %v, hint %q", err, fleet.HintOf(err))
	}
	want, _ := agent.Change(t.Context(), "1")
	if d, err := c.Change(t.Context(), "1"); err != nil || !d.Ended() || cmp.Diff(want, d) != "" {
		t.Errorf("change %+v, error %v", d, err)
	}
	if _, err := c.Change(t.Context(), "2"); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("an unknown change: %v", err)
	}
}

// The names are opsiclientd's: other tools call them.
func TestMethods(t *testing.T) {
	table := &methodTable{&steered{status: Status{Running: "1", Event: "timer", Flags: map[string]bool{"installation_pending": true}}}}
	for _, test := range []struct {
		method string
		params methods.Params
		want   any
	}{
		{"isEventRunning", methods.Pos("timer"), true},
		{"isEventRunning", methods.Pos("other"), false},
		{"isEventRunning", methods.Pos(), true},
		{"isEventRunning", methods.Params{Named: map[string]any{"name": "other"}}, false},
		{"isInstallationPending", methods.Pos(), true},
		{"getState", methods.Pos("installation_pending"), true},
		{"getState", methods.Pos("never_set"), false},
		{"getState", methods.Pos(42), false},
		{"uptime", methods.Pos(), int64(90)},
		{"reboot", methods.Pos(), nil},
		{"fireEvent", methods.Params{Named: map[string]any{"name": "timer"}}, "change of timer"},
	} {
		if got, err := table.Call(t.Context(), methods.Actor{}, test.method, test.params); got != test.want || err != nil {
			t.Errorf("%s %v = %v, error %v", test.method, test.params, got, err)
		}
	}
	for method, code := range map[string]fleet.Code{"execute": fleet.Denied, "runCommand": fleet.Denied, "execPythonCode": fleet.Denied,
		"shutdown": fleet.NotHere, "agent_Status": fleet.NotFound, "": fleet.NotFound} {
		if got, err := table.Call(t.Context(), methods.Actor{}, method, methods.Pos()); fleet.CodeOf(err) != code {
			t.Errorf("%q = %v, error %v", method, got, err)
		}
	}
	for _, p := range []methods.Params{methods.Pos(int64(90)), methods.Pos(90.0), {Named: map[string]any{"waitSeconds": 90.0}}} {
		if _, err := table.Call(t.Context(), methods.Actor{}, "reboot", p); err == nil || err.Error() != "in 1m30s" {
			t.Errorf("a reboot in 90 seconds: %v", err)
		}
	}
	if got, err := table.Call(t.Context(), methods.Actor{}, "processActionRequests", methods.Pos([]any{"firefox"})); fleet.CodeOf(err) != fleet.NotHere {
		t.Errorf("some products only = %v, error %v", got, err)
	}
}

// Both interfaces are for those who have the host key.
func TestServe_OnlyWithTheHostKey(t *testing.T) {
	dir := t.TempDir()
	agent := &steered{}
	s, _ := start(t, config(dir, agent))
	ca, err := os.ReadFile(CertPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/rpc", "/rpc/", "/opsiclientd"} {
		for password, right := range map[string]bool{"": false, "guessed": false, key + " ": false, key[:31]: false, key: true} {
			tls, err := pin.Config("127.0.0.1", ca, "")
			if err != nil {
				t.Fatal(err)
			}
			c, err := rpc.NewClient(rpc.Options{URL: "https://" + s.Addr() + path, User: "anybody", TLS: tls,
				Password: func(context.Context) (string, error) { return password, nil }})
			if err != nil {
				t.Fatal(err)
			}
			agent.actors = nil
			_, err = c.Call(t.Context(), methods.Actor{}, "agent_status", methods.Pos())
			c.Logout(t.Context())
			s.mu.Lock()
			s.failed = 0 // many failures make it slow
			s.mu.Unlock()
			if right {
				if err != nil {
					t.Errorf("%s with the key: %v", path, err)
				}
				if path != "/opsiclientd" && (len(agent.actors) != 1 || agent.actors[0].ID != host) {
					t.Errorf("%s was called by %+v", path, agent.actors)
				}
			} else if fleet.CodeOf(err) != fleet.Unauthenticated || len(agent.actors) > 0 {
				t.Errorf("%s with %q: %v, called by %v", path, password, err, agent.actors)
			}
		}
	}
}

func TestListen_Refused(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:0", "127.0.0.1.example.org:0", "127.0.0.1"} {
		cfg := config(t.TempDir(), &steered{})
		cfg.Listen = listen
		if s, err := Listen(cfg); err == nil {
			t.Errorf("%s: listens at %s", listen, s.Addr())
			s.Close()
		}
	}
	cfg := config(t.TempDir(), &steered{})
	cfg.HostKey = ""
	if _, err := Listen(cfg); err == nil {
		t.Error("listens without a key")
	}
	cfg = config(t.TempDir(), &steered{})
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cfg.Listen = s.Addr()
	if _, err := Listen(cfg); fleet.CodeOf(err) != fleet.Locked || !strings.Contains(fleet.HintOf(err), "control_server") {
		t.Errorf("a port in use: %v, hint %q", err, fleet.HintOf(err))
	}
}

// The certificate stays, because scripts and tools have pinned it; a damaged
// one, or one whose key is another's, is made anew.
func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	first, err := certificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := certificate(dir)
	if err != nil || !again.Leaf.Equal(first.Leaf) {
		t.Errorf("another one the second time, error %v", err)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{keyPath(dir): 0o600, filepath.Dir(keyPath(dir)): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, error %v", path, info.Mode(), err)
			}
		}
	}
	other := t.TempDir()
	if _, err := certificate(other); err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(keyPath(other))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() error{
		"no key":        func() error { return os.Remove(keyPath(dir)) },
		"no cert":       func() error { return os.Remove(CertPath(dir)) },
		"cut":           func() error { return os.Truncate(CertPath(dir), 100) },
		"zeros":         func() error { return os.WriteFile(keyPath(dir), make([]byte, 200), 0o600) },
		"another's key": func() error { return os.WriteFile(keyPath(dir), foreign, 0o600) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		cert, err := certificate(dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := certificate(dir); err != nil || !again.Leaf.Equal(cert.Leaf) {
			t.Errorf("%s: it is not repaired, error %v", name, err)
		}
	}
}

func TestDial_NobodyThere(t *testing.T) {
	dir := t.TempDir()
	if _, err := Dial(dir, host, key); fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(fleet.HintOf(err), "fernwerk-agent run") {
		t.Errorf("before the first start: %v, hint %q", err, fleet.HintOf(err))
	}
	_, stop := start(t, config(dir, &steered{}))
	c := dial(t, dir, key)
	stop()
	if _, err := c.Status(t.Context()); fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(fleet.HintOf(err), "fernwerk-agent run") {
		t.Errorf("after the stop: %v, hint %q", err, fleet.HintOf(err))
	}
}

// Another program that got the port meanwhile does not get the key.
func TestDial_AnotherProgramAtThePort(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, config(dir, &steered{}))
	stop()
	agent := &steered{}
	impostor, _ := start(t, config(t.TempDir(), agent))
	if err := writeAddress(dir, impostor.Addr()); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, dir, key).Status(t.Context()); fleet.CodeOf(err) != fleet.Unauthenticated || len(agent.actors) > 0 {
		t.Errorf("error %v", err)
	}
}
