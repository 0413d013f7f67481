package presence_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/lan"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/presence"
)

func report(texts ...string) lan.Report {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return lan.New(all)
}

// lanOf is where a host is by what names are made of; ! is told by another node too.
func (b *bench) lanOf(hostID string) string {
	b.t.Helper()
	var out []string
	good(b.t, b.stores[0].View(context.Background(), func(tx *store.Tx) error {
		all, err := presence.Neighbours(tx)
		for _, n := range all {
			if n.HostID != hostID {
				continue
			}
			for _, p := range n.LAN {
				text := p.At.String()
				if p.From.IsValid() {
					text += "@" + p.From.String()
				}
				if p.Disputed {
					text += "!"
				}
				out = append(out, text)
			}
		}
		return err
	}))
	return strings.Join(out, " ")
}

// shown is what administrators see that is wrong with a host's addresses.
func (b *bench) shown(hostID string) string {
	b.t.Helper()
	var out []string
	good(b.t, b.stores[0].View(context.Background(), func(tx *store.Tx) error {
		all, err := presence.Facts(tx, "")
		for _, f := range all {
			if _, problems := node.LANs(f.LAN); f.HostID == hostID {
				out = append(out, fmt.Sprint(problems...))
			}
		}
		return err
	}))
	return strings.Join(out, "; ")
}

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

// sessionAt is one that begins now.
func sessionAt(c *clock, hostID, epoch, from string) presence.Session {
	return presence.Session{HostID: hostID, Tunnel: "vpns", Epoch: epoch, Since: c.now(), ClientAddress: netip.MustParseAddr(from)}
}

// What a host tells is the host's: each session has it that comes from where it was told,
// before or after, and none that comes from elsewhere.
func TestTell_SurvivesSessions(t *testing.T) {
	onEngines(t, func(t *testing.T, b *bench, c *clock) {
		p := b.server()
		b.fill(2)
		is := func(when, want string) {
			t.Helper()
			if got := b.lanOf(host(0)); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		const home, office = "203.0.113.10", "203.0.113.11"
		tell := func(from string, at ...string) {
			t.Helper()
			good(t, p.Tell(t.Context(), host(0), ip(from), report(at...)))
		}
		good(t, p.Up(t.Context(), sessionAt(c, host(0), "1", home)))
		is("nothing told", "")
		tell(home, "192.168.1.2/24")
		is("told", "192.168.1.2/24@"+home)
		c.pass(time.Minute)
		good(t, p.Up(t.Context(), sessionAt(c, host(0), "2", home)))
		is("the next session", "192.168.1.2/24@"+home)
		good(t, p.Down(t.Context(), host(0), "vpns", "2"))
		is("a flap", "192.168.1.2/24@"+home)
		c.pass(presence.Grace + time.Second)
		is("down", "")
		good(t, p.Up(t.Context(), sessionAt(c, host(0), "3", home)))
		is("up again", "192.168.1.2/24@"+home)
		c.pass(time.Minute)
		tell(office, "192.168.1.3/24") // it moved, and its tunnel does not know yet
		is("told from elsewhere", "")
		if got := b.shown(host(0)); got != "192.168.1.3/24 told from "+office+", where the tunnel does not come from" {
			t.Errorf("administrators see %q", got)
		}
		good(t, p.Up(t.Context(), sessionAt(c, host(0), "4", office)))
		is("the tunnel is there, too", "192.168.1.3/24@"+office)
		c.pass(time.Minute)
		good(t, p.Up(t.Context(), sessionAt(c, host(0), "5", home)))
		is("back, and not told", "")
		tell("::ffff:"+home, "192.168.1.2/24")
		is("back and told", "192.168.1.2/24@"+home)
		s := b.node(host(0)).Address.String()
		tell(s, "192.168.1.4/24")
		is("told through the tunnel", "192.168.1.4/24@"+home)
		c.pass(lan.Life - time.Minute)
		is("told long ago", "192.168.1.4/24@"+home)
		c.pass(2 * time.Minute)
		is("told too long ago", "")
		tell(home, "192.168.1.3/24")
		is("told once more", "192.168.1.3/24@"+home)
		tell(home)
		is("unplugged", "")
		b.update(func(tx *store.Tx) error { return tx.Remove(fleet.Hosts, fleet.Row{"id": host(0)}) })
		tell(home, "192.168.1.3/24") // nobody is hurt
	})
}

// A host behind the same public address tells its neighbour's address, another length of
// the network, addresses of tunnels and of everybody; none of it leads anybody to it.
func TestTell_HostileNeighbour(t *testing.T) {
	c := &clock{}
	b := lite(t, c.now)
	p := b.server()
	b.fill(5)
	const router, other = "203.0.113.10", "203.0.113.11"
	froms := []string{router, router, router, other, "192.168.9.2"}
	for i, from := range froms {
		good(t, p.Up(t.Context(), sessionAt(c, host(i), "1", from)))
	}
	for i, at := range []string{"192.168.1.2/24", "192.168.1.3/24", "192.168.1.66/24", "192.168.1.3/24", "192.168.9.2/24"} {
		good(t, p.Tell(t.Context(), host(i), ip(froms[i]), report(at)))
	}
	is := func(what string, want ...string) {
		t.Helper()
		for i, w := range want {
			if got := b.lanOf(host(i)); got != w {
				t.Errorf("%s: client%d is at %q, want %q", what, i, got, w)
			}
		}
	}
	elsewhere, near := "192.168.1.3/24@"+other, "192.168.9.2/24" // at another site, and in the server's own network
	is("all are honest", "192.168.1.2/24@"+router, "192.168.1.3/24@"+router, "192.168.1.66/24@"+router, elsewhere, near)
	// The third lies.
	good(t, p.Tell(t.Context(), host(2), ip(router), report("192.168.1.3/25", "192.168.1.66/24", "10.134.7.38/16", "10.134.0.1/16")))
	is("the second's address", "192.168.1.2/24@"+router, "192.168.1.3/24@"+router+"!", "192.168.1.3/25@"+router+"! 192.168.1.66/24@"+router, elsewhere, near)
	if got, want := b.shown(host(1)), "192.168.1.3/24 told by "+host(2)+" too"; got != want {
		t.Errorf("administrators see %q", got)
	}
	// It is in no network that it does not come from.
	good(t, p.Tell(t.Context(), host(2), ip(router), report("192.168.9.2/24")))
	is("an address of the server's network", "192.168.1.2/24@"+router, "192.168.1.3/24@"+router, "192.168.9.2/24@"+router, elsewhere, near)
	// Nor by saying so from another place than its tunnel's.
	good(t, p.Tell(t.Context(), host(2), ip(other), report("192.168.1.3/24")))
	is("by another way", "192.168.1.2/24@"+router, "192.168.1.3/24@"+router, "", elsewhere, near)
	// What is dead claims nothing.
	good(t, p.Tell(t.Context(), host(2), ip(router), report("192.168.1.3/24")))
	is("again", "192.168.1.2/24@"+router, "192.168.1.3/24@"+router+"!")
	good(t, p.Down(t.Context(), host(2), "vpns", "1"))
	c.pass(presence.Grace + time.Second)
	is("down", "192.168.1.2/24@"+router, "192.168.1.3/24@"+router, "")
	// Words of other tunnels are weighed like its own.
	s := sessionAt(c, host(2), "m", router)
	s.Tunnel, s.LAN = "mesh", []netip.Prefix{netip.MustParsePrefix("192.168.1.3/0"), netip.MustParsePrefix("10.134.7.38/16"), netip.MustParsePrefix("192.168.1.77/24"), {}}
	good(t, p.Up(t.Context(), s))
	is("by a mesh", "192.168.1.2/24@"+router, "192.168.1.3/24@"+router, "192.168.1.77/24@"+router)
}

// What is no news costs no write; too much news is refused, and what is wrong.
func TestTell_Bounds(t *testing.T) {
	c := &clock{}
	b := lite(t, c.now)
	p := b.server()
	b.fill(2)
	good(t, p.Up(t.Context(), sessionAt(c, host(0), "1", "203.0.113.10")))
	for range 10 * 20 { // more than are allowed: these are no changes
		good(t, p.Tell(t.Context(), host(0), ip("203.0.113.10"), report("192.168.1.2/24")))
	}
	refused := 0
	for i := range 100 {
		err := p.Tell(t.Context(), host(0), ip("203.0.113.10"), report(fmt.Sprintf("192.168.1.%d/24", 10+i)))
		if fleet.CodeOf(err) == fleet.Unavailable {
			refused++
		} else {
			good(t, err)
		}
	}
	if refused < 50 {
		t.Errorf("%d of 100 changes in a moment were refused", refused)
	}
	good(t, p.Tell(t.Context(), host(1), ip("203.0.113.10"), report("192.168.1.200/24"))) // another host's
	for _, bad := range []lan.Report{{LAN: []netip.Prefix{netip.MustParsePrefix("192.168.1.2/0")}}, {LAN: []netip.Prefix{{}}}, {LAN: report("192.168.1.2/24").LAN[:1:1]}} {
		if len(bad.LAN) == 1 && bad.LAN[0].IsValid() && bad.LAN[0].Bits() == 24 {
			bad.LAN = append(bad.LAN, bad.LAN[0])
		}
		if err := p.Tell(t.Context(), host(1), ip("203.0.113.10"), bad); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
	var told []string
	good(t, b.stores[0].View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.History(store.Look{Object: host(1), Actor: "host " + host(1)})
		for _, ch := range all {
			told = append(told, ch.Op)
		}
		return err
	}))
	if !slices.Equal(told, []string{"lan"}) {
		t.Errorf("the host's history has %v", told)
	}
}
