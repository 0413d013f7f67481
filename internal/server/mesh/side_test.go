package mesh_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	content "github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/server/mesh"
)

func vnode() fleet.NodeType {
	return fleet.NodeType{ID: "vnode", AddressRange: "10.134.0.0/16", Domain: "grid.example.org", Tunnel: "both", DeadName: "keep", Scheduler: "none", Resources: "core"}
}

// A type that loses the mesh: its nodes are refused with a word on what to do, told to
// presence as down, and blocked at the others.
func TestAsk_TypeLosesTheMesh(t *testing.T) {
	w := newWorld(t)
	other := vnode()
	other.ID, other.NamePattern = "other", "vnode-{a}-{b}"
	w.put(fleet.NodeTypes, fleet.NodeTypes.Encode(other))
	good, bad := w.host("good.example.org", "10.134.0.2"), w.host("bad.example.org", "10.134.0.3")
	w.identities["good.example.org"] = mesh.Identity{NodeType: "other", Joined: 1, Counts: true}
	bad.Since = 1
	given := w.ask("bad.example.org", bad)
	for _, tunnel := range []string{"openvpn", "none"} {
		kind := vnode()
		kind.Tunnel = tunnel
		w.put(fleet.NodeTypes, fleet.NodeTypes.Encode(kind))
		w.later(2 * time.Second)
		_, err := w.mesh.Ask(t.Context(), "bad.example.org", w.from, bad)
		if fleet.CodeOf(err) != fleet.NotFound || !strings.Contains(err.Error(), "its tunnel is "+tunnel) || !strings.Contains(fleet.HintOf(err), "--tunnel both") {
			t.Errorf("%s: %v %s", tunnel, err, fleet.HintOf(err))
		}
		if m := w.open(w.ask("good.example.org", good)); !slices.Equal(m.Blocked, []string{given.Fingerprint}) || len(m.Nodes) != 1 {
			t.Errorf("%s: %+v", tunnel, m)
		}
	}
	if last := w.told[len(w.told)-1]; !strings.HasPrefix(last, "down bad.example.org") {
		t.Errorf("presence was told %v", w.told)
	}
	w.put(fleet.NodeTypes, fleet.NodeTypes.Encode(vnode()))
	w.later(2 * time.Second)
	if m := w.open(w.ask("bad.example.org", bad)); len(m.Blocked) != 0 || len(m.Nodes) != 2 {
		t.Errorf("the type has the mesh again: %+v", m)
	}
}

// The map says what nodes of a type get, and whether the hub passes on to who is in
// another tunnel.
func TestAsk_Kinds(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*fleet.NodeType, *mesh.Mesh)
		want    content.Kind
		bridged bool
	}{
		"nothing is said": {func(*fleet.NodeType, *mesh.Mesh) {}, content.Kind{ID: "vnode", Routes: []netip.Prefix{}, DNS: []netip.Addr{}}, true},
		"all is said": {func(n *fleet.NodeType, _ *mesh.Mesh) {
			n.Routes, n.DNSServers, n.SearchDomain = []string{"129.88.70.0/26", "fd00:8::/64"}, []string{"10.134.0.1"}, "grid.example.org"
		}, content.Kind{ID: "vnode", Routes: []netip.Prefix{netip.MustParsePrefix("129.88.70.0/26")}, DNS: []netip.Addr{netip.MustParseAddr("10.134.0.1")}, Search: "grid.example.org"}, true},
		"a route that is a network of the mesh": {func(n *fleet.NodeType, m *mesh.Mesh) {
			n.Routes, m.Allow = []string{"10.134.0.0/16", "129.88.70.0/26"}, []content.Rule{{To: "vnode", From: "any", Proto: "tcp", Ports: "22"}}
		}, content.Kind{ID: "vnode", Routes: []netip.Prefix{netip.MustParsePrefix("129.88.70.0/26")}, DNS: []netip.Addr{}}, false},
		"a name server that is none": {func(n *fleet.NodeType, _ *mesh.Mesh) {
			n.DNSServers = []string{"0.0.0.0", "224.0.0.251", "10.134.0.1"}
		}, content.Kind{ID: "vnode", Routes: []netip.Prefix{}, DNS: []netip.Addr{netip.MustParseAddr("10.134.0.1")}}, true},
		"the hub is no end of tunnels": {func(n *fleet.NodeType, m *mesh.Mesh) { n.Routes, m.Bare = []string{"129.88.70.0/26"}, true },
			content.Kind{ID: "vnode", Routes: []netip.Prefix{}, DNS: []netip.Addr{}}, false},
		"the nodes of the other tunnel stay apart": {func(_ *fleet.NodeType, m *mesh.Mesh) {
			m.Apart = []netip.Prefix{netip.MustParsePrefix("10.134.0.0/16")}
		},
			content.Kind{ID: "vnode", Routes: []netip.Prefix{}, DNS: []netip.Addr{}}, false},
		"those of one elsewhere do": {func(_ *fleet.NodeType, m *mesh.Mesh) {
			m.Apart = []netip.Prefix{netip.MustParsePrefix("10.135.0.0/16")}
		},
			content.Kind{ID: "vnode", Routes: []netip.Prefix{}, DNS: []netip.Addr{}}, true},
		"there are rules": {func(_ *fleet.NodeType, m *mesh.Mesh) {
			m.Allow = []content.Rule{{To: "vnode", From: "any", Proto: "tcp", Ports: "22"}}
		}, content.Kind{ID: "vnode", Routes: []netip.Prefix{}, DNS: []netip.Addr{}}, false},
	} {
		w := newWorld(t)
		kind := vnode()
		c.change(&kind, w.mesh)
		w.put(fleet.NodeTypes, fleet.NodeTypes.Encode(kind))
		m := w.open(w.ask("a.example.org", w.host("a.example.org", "10.134.0.2")))
		got := m.KindOf("vnode")
		if got.ID != c.want.ID || !slices.Equal(got.Routes, c.want.Routes) || !slices.Equal(got.DNS, c.want.DNS) || got.Search != c.want.Search || m.Bridged != c.bridged || len(m.Kinds) != 1 {
			t.Errorf("%s: %+v, bridged %v", name, m.Kinds, m.Bridged)
		}
	}
	w := newWorld(t)
	other := vnode()
	other.ID, other.NamePattern, other.Tunnel = "other", "vnode-{a}-{b}", "openvpn"
	w.put(fleet.NodeTypes, fleet.NodeTypes.Encode(other))
	if m := w.open(w.ask("a.example.org", w.host("a.example.org", "10.134.0.2"))); m.Bridged {
		t.Error("nodes of two types reach each other through the hub, past the rule that they do not")
	}
}
