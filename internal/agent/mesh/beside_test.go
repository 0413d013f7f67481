package mesh

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/resolver"
)

func kinds() []mesh.Kind {
	return []mesh.Kind{{ID: "vnode", Routes: []netip.Prefix{netip.MustParsePrefix("129.88.70.0/26"), netip.MustParsePrefix("192.0.2.0/24")},
		DNS: []netip.Addr{netip.MustParseAddr("10.134.0.1")}, Search: "grid.example.org"}, {ID: "other", Routes: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}
}

func TestService_Beside(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	for name, c := range map[string]struct {
		change  func(*mesh.Map)
		peers   []netip.Addr
		through []netip.Prefix
	}{
		"peers are the others and the hub; no route leads around the way to the hub": {func(m *mesh.Map) { m.Kinds = kinds() }, []netip.Addr{a("10.134.0.1"), a("10.134.0.3")}, []netip.Prefix{p("129.88.70.0/26")}},
		"who is in another tunnel":   {func(m *mesh.Map) { m.Bridged = true }, []netip.Addr{a("10.134.0.1"), a("10.134.0.3")}, []netip.Prefix{p("10.134.0.0/16")}},
		"a hub that is no end":       {func(m *mesh.Map) { m.Kinds, m.Bridged, m.Hubs[0].Bare = kinds(), true, true }, []netip.Addr{a("10.134.0.3")}, nil},
		"a type that says no routes": {func(*mesh.Map) {}, []netip.Addr{a("10.134.0.1"), a("10.134.0.3")}, nil},
	} {
		srv := newServer(t)
		c.change(&srv.all)
		m := newService(t, srv)
		if _, _, err := m.ask(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		got := m.config(nil)
		if !slices.Equal(got.Peers, c.peers) || !slices.Equal(got.Through, c.through) {
			t.Errorf("%s: peers %v, through %v", name, got.Peers, got.Through)
		}
		if _, err := got.Render(m.Dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestService_Name(t *testing.T) {
	srv := newServer(t)
	srv.all.Kinds = kinds()
	m := newService(t, srv)
	dir := t.TempDir()
	m.Names = resolver.Resolver{Dir: dir, Path: filepath.Join(dir, "resolv.conf")}
	m.Rule = func(context.Context) string { return resolver.File }
	if err := os.WriteFile(m.Names.Path, []byte("nameserver 192.168.1.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.ask(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, since := range []int64{0, 1, 1, 0, 2} {
		if err := m.name(t.Context(), since); err != nil {
			t.Fatal(err)
		}
		parts, err := m.Names.Parts()
		if err != nil {
			t.Fatal(err)
		}
		if told := len(parts) == 1 && parts[0].Servers[0] == srv.all.Kinds[0].DNS[0] && parts[0].Search[0] == "grid.example.org"; told != (since != 0) {
			t.Errorf("up since %d: %+v", since, parts)
		}
	}
}

// The wish is kept, and seen by an agent that runs; without one the configuration says.
func TestService_Wants(t *testing.T) {
	m := newService(t, newServer(t))
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	now, enabled := time.Now(), false
	m.Now = func() time.Time { return now }
	m.Enabled = func(context.Context) (bool, error) { return enabled, nil }
	wants := func(want bool, why string) {
		t.Helper()
		if got := m.wants(t.Context()); got != want {
			t.Errorf("%s: %v", why, got)
		}
	}
	wants(false, "nobody wished it")
	if was, err := Wish(m.Dir, true); err != nil || was {
		t.Fatal(was, err)
	}
	wants(true, "somebody wished it")
	if was, err := Wish(m.Dir, true); err != nil || !was {
		t.Fatal(was, err)
	}
	next := newService(t, newServer(t))
	next.Dir = m.Dir
	if !next.wants(t.Context()) {
		t.Error("the next agent does not know of it")
	}
	if _, err := Wish(m.Dir, false); err != nil {
		t.Fatal(err)
	}
	wants(false, "it is to be left")
	enabled = true
	wants(false, "the configuration is not read at each look")
	now = now.Add(reread)
	wants(true, "the configuration says so")
	if err := os.WriteFile(Note(m.Dir), []byte("no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	wants(true, "what cannot be read changes nothing")
}
