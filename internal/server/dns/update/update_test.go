package update_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/dns/update"
	"github.com/fernwerk/fernwerk/test/require/bind"
)

func nodeAt(p *node.Plan, address string, up bool) node.Node {
	a := netip.MustParseAddr(address)
	name, _ := p.Name(a)
	return node.Node{HostID: "client1.example.org", Name: name, Address: a, Up: up, Resolves: up}
}

// The whole way of a node's name at a real bind: made, right, moved, gone; what
// others made stays.
func TestUpdate_Bind(t *testing.T) {
	b := bind.Start(t, map[string]string{"grid.example.org": "mail IN A 192.0.2.25\nvnode-9-9 IN CNAME mail\n", "134.10.in-addr.arpa": ""})
	d := &update.Driver{Server: b.Address, Zone: "grid.example.org", Reverse: []string{"134.10.in-addr.arpa"}, KeyName: bind.KeyName, Algorithm: "hmac-sha256", Secret: bind.Secret}
	p, err := node.NewPlan("10.134.0.0/16", "vnode-{a}-{b}", "grid.example.org")
	if err != nil {
		t.Fatal(err)
	}
	n := nodeAt(p, "10.134.7.38", true)
	read := func() map[string]node.State {
		t.Helper()
		all, err := d.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	apply := func(n node.Node, gone bool) {
		t.Helper()
		was, found := read()[n.Name]
		if err := d.Apply(t.Context(), node.Change{Node: n, Found: found, Was: was, Gone: gone}); err != nil {
			t.Fatal(err)
		}
	}
	if why := d.Differs(n, read()[n.Name], false); why == "" {
		t.Error("a name that is not there is right")
	}
	for range 2 { // again changes nothing
		apply(n, false)
		if why := d.Differs(n, read()[n.Name], true); why != "" {
			t.Error(why)
		}
		if got := b.Ask("-x", "10.134.7.38"); got != "vnode-7-38.grid.example.org." {
			t.Errorf("it points to %q", got)
		}
	}
	// Somebody changes it by hand: found, and made right.
	wrong := n
	wrong.Address = netip.MustParseAddr("10.134.7.99")
	apply(wrong, false)
	if got := b.Ask("-x", "10.134.7.38"); got != "" {
		t.Errorf("the former address points to %q", got)
	}
	if why := d.Differs(n, read()[n.Name], true); !strings.Contains(why, "another address") {
		t.Errorf("%q", why)
	}
	apply(n, false)
	if got := b.Ask(n.Name, "A"); got != "10.134.7.38" {
		t.Errorf("it resolves to %q", got)
	}
	down := n
	down.Up, down.Resolves = false, false
	if why := d.Differs(down, read()[n.Name], true); why == "" {
		t.Error("a node that is down may resolve")
	}
	apply(down, false)
	if state, found := read()[n.Name]; found {
		t.Errorf("%+v", state)
	}
	if got := b.Ask("-x", "10.134.7.38"); got != "" {
		t.Errorf("it points to %q", got)
	}
	apply(n, false)
	apply(node.Node{Name: n.Name}, true) // its host was deleted
	if _, found := read()[n.Name]; found || b.Ask("-x", "10.134.7.38") != "" {
		t.Error("it is still there")
	}
	taken := nodeAt(p, "10.134.9.9", true)
	if err := d.Apply(t.Context(), node.Change{Node: taken, Found: true, Was: read()[taken.Name]}); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("a name that is somebody's alias: %v", err)
	}
	if err := d.Apply(t.Context(), node.Change{Node: taken}); err == nil { // even if it was made meanwhile
		t.Error("the alias is overwritten")
	}
	if got := b.Ask("mail.grid.example.org", "A"); got != "192.0.2.25" {
		t.Errorf("what others made is %q", got)
	}
	for what, change := range map[string]func(*update.Driver){
		"secret": func(d *update.Driver) { d.Secret = "d3Jvbmd3cm9uZ3dyb25nd3JvbmcK" },
		"key":    func(d *update.Driver) { d.KeyName = "other" },
		"zone":   func(d *update.Driver) { d.Zone = "example.net" },
		"server": func(d *update.Driver) { d.Server = "127.0.0.1:1" },
	} {
		bad := *d
		change(&bad)
		if _, err := bad.Read(t.Context()); err == nil {
			t.Errorf("read with a wrong %s", what)
		}
		if err := bad.Apply(t.Context(), node.Change{Node: n}); err == nil {
			t.Errorf("updated with a wrong %s", what)
		}
	}
}
