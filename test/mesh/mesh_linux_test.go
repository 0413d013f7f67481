package mesh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// is waits until a machine reaches another in a way, and prints why it is so.
func (m *machine) is(to *machine, want ...string) peer {
	m.lab.t.Helper()
	var p peer
	m.lab.await(m.name+" reaches "+to.name+" "+strings.Join(want, " or "), func() error {
		if err := m.reaches(to); err != nil {
			return err
		}
		var err error
		if p, err = m.path(to); err != nil {
			return err
		}
		for _, w := range want {
			if p.Path == w {
				return nil
			}
		}
		return fmt.Errorf("it is %s via %s: %s", p.Path, p.Via, p.Why)
	})
	m.lab.t.Logf("%s to %s: %s via %s: %s", m.name, to.name, p.Path, p.Via, p.Why)
	return p
}

// settles talks to another machine for a while, which is what makes a relayed path
// a direct one where that can be.
func (m *machine) settles(to *machine) {
	m.lab.t.Helper()
	start := time.Now()
	var p peer
	for time.Since(start) < 25*time.Second && p.Path != "direct" {
		m.lab.must(m.reaches(to))
		var err error
		p, err = m.path(to)
		m.lab.must(err)
	}
	m.lab.t.Logf("%s to %s after %v: %s via %s: %s", m.name, to.name, time.Since(start).Round(100*time.Millisecond), p.Path, p.Via, p.Why)
}

// Two nodes on one LAN talk by their LAN addresses: what they say does not pass
// the hub, whose counters stand still, and goes on when the hub is dead.
func TestMesh_OneLAN(t *testing.T) {
	l := newLab(t, "a1", "a2")
	a1, a2 := l.nodes["a1"], l.nodes["a2"]
	if p := a1.is(a2, "direct"); !strings.HasPrefix(p.Via, "192.168.1.12:") {
		t.Errorf("via %s", p.Via)
	}
	before := l.hubBytes()
	rtt, mbits := a1.measure(a2)
	if passed := l.hubBytes() - before; passed > 64<<10 {
		t.Errorf("%d bytes passed the hub while 64 MiB went from one to the other", passed)
	} else {
		t.Logf("%d bytes passed the hub while 64 MiB went from one to the other", passed)
	}
	// The same through the hub: the LAN is cut between the two.
	for m, other := range map[*machine]string{a1: "192.168.1.12", a2: "192.168.1.11"} {
		l.in(m.name, "nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in ip saddr "+other+" drop")
	}
	a1.is(a2, "relayed")
	hubRTT, hubMbits := a1.measure(a2)
	t.Logf("direct: %v, %.0f Mbit/s; through the hub: %v, %.0f Mbit/s; ratios: round trip %.2f, throughput %.2f", rtt, mbits, hubRTT, hubMbits,
		float64(rtt)/float64(hubRTT), mbits/hubMbits)
	for _, m := range []*machine{a1, a2} {
		l.in(m.name, "nft", "delete table inet cut")
	}
	a1.is(a2, "direct")
	l.kill(l.server, filepath.Join(l.dir, "s"))
	for range 3 {
		l.must(a1.reaches(a2))
	}
	a1.is(a2, "direct")
}

// The server is down and a node is started again, with nobody to ask: it comes
// back by the signed map that it has, also to one that it never talked to.
func TestMesh_ServerDownNodeStartsAgain(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	l := newLab(t, "a1", "a2")
	a1, a2 := l.nodes["a1"], l.nodes["a2"]
	l.await("a1 has a2 on its map", func() error { _, err := a1.path(a2); return err })
	l.await("a2 has a1 on its map", func() error { _, err := a2.path(a1); return err })
	l.kill(l.server, filepath.Join(l.dir, "s"))
	// An agent that dies leaves the mesh up, and the next one takes it over.
	before, err := a1.status()
	l.must(err)
	a1.agent.Process.Kill()
	a1.agent.Wait()
	l.must(a1.reaches(a2))
	a1.start()
	l.await("the next agent runs", func() error {
		log, _ := os.ReadFile(filepath.Join(l.dir, "a1.log"))
		if strings.Count(string(log), "agent runs") < 2 {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	if after, err := a1.status(); err != nil || after.PID != before.PID {
		t.Errorf("the mesh's process was %d and is %d, %v", before.PID, after.PID, err)
	}
	l.kill(a1.agent, a1.data())
	l.kill(a2.agent, a2.data())
	start := time.Now()
	a1.start()
	a2.start()
	a1.is(a2, "direct")
	t.Logf("back without the server after %v", time.Since(start).Round(time.Millisecond))
	// A map that somebody changed on the disk is not used.
	l.kill(a1.agent, a1.data())
	state := filepath.Join(a1.data(), "mesh", "state.json")
	text, err := os.ReadFile(state)
	l.must(err)
	l.must(os.WriteFile(state, []byte(strings.Replace(string(text), `"map":"e`, `"map":"f`, 1)), 0o600))
	a1.start()
	l.await("a1 says that its map is changed", func() error {
		log, _ := os.ReadFile(filepath.Join(l.dir, "a1.log"))
		if !strings.Contains(string(log), "what is kept of it cannot be used") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	if err := a1.reaches(a2); err == nil {
		t.Error("a machine whose map was changed is in the mesh")
	}
}

// On one LAN, on two routed ones, behind one router that turns nothing round,
// behind two routers, and behind one that gives each connection another port.
func TestMesh_PathsAndWhy(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	l := newLab(t, "a1", "a2", "c1", "b2", "d1")
	a1, a2, c1, b2, d1 := l.nodes["a1"], l.nodes["a2"], l.nodes["c1"], l.nodes["b2"], l.nodes["d1"]
	if p := a1.is(a2, "direct"); !strings.Contains(p.Why, "in a network of this machine") {
		t.Errorf("%+v", p)
	}
	if p := a1.is(c1, "direct"); !strings.HasPrefix(p.Via, "192.168.3.11:") || !strings.Contains(p.Why, "routing") {
		t.Errorf("%+v", p)
	}
	a1.is(b2, "direct", "relayed")
	a1.settles(b2) // the log says which, and why
	if p := b2.is(d1, "relayed"); !strings.Contains(p.Why, "router") {
		t.Errorf("%+v", p)
	}
}

// Two sites have the same addresses: a1 and a2 are at one, b1 at the other with the
// address of a2. Nobody ever talks to the wrong one: the key decides.
func TestMesh_SameAddressesAtTwoSites(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	l := newLab(t, "a1", "a2", "b1")
	a1, a2, b1 := l.nodes["a1"], l.nodes["a2"], l.nodes["b1"]
	if p := a1.is(b1, "direct", "relayed"); strings.HasPrefix(p.Via, "192.168.") {
		t.Errorf("what is for b1 goes to a2: %+v", p)
	}
	if p := a1.is(a2, "direct"); !strings.HasPrefix(p.Via, "192.168.1.12:") {
		t.Errorf("%+v", p)
	}
}

// A node that was revoked is cut by its peers within the stated time: until their
// next question, and ten seconds. It also cannot come back by itself.
func TestMesh_RevokedIsCut(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	l := newLab(t, "a1", "a2")
	a1, a2 := l.nodes["a1"], l.nodes["a2"]
	a1.is(a2, "direct")
	// a2 is in enemy hands: its agent, which would obey, does nothing more.
	a2.agent.Process.Kill()
	a2.agent.Wait()
	l.must(a2.reaches(a1))
	l.admin("host", "revoke", a2.host, "--reason", "stolen", "--yes")
	const asks, cuts, notices = 5 * time.Second, 10 * time.Second, 10 * time.Second // the last: a call that gets no answer takes 6 s
	took := l.within(asks+cuts+notices, "a1 does not talk to a2", func() error {
		if a1.reaches(a2) == nil {
			return fmt.Errorf("it does")
		}
		return nil
	})
	t.Logf("cut, and noticed by a call of 6 s, %v after the revocation, with a question every 5 s", took.Round(time.Millisecond))
	if err := a2.reaches(a1); err == nil {
		t.Error("a2 reaches a1")
	}
	if p, err := a1.path(a2); err == nil && p.Path != "none" {
		t.Errorf("%+v", p)
	}
	// With its certificate it is nobody to the hub either.
	l.kill2(a2)
	a2.start()
	l.await("a2 is told that it was revoked", func() error {
		log, _ := os.ReadFile(filepath.Join(l.dir, "a2.log"))
		if !strings.Contains(string(log), "revoked") {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	if err := a2.reaches(a1); err == nil {
		t.Error("a2 reaches a1 after a new start")
	}
}

func (l *lab) kill2(m *machine) {
	if pid := l.pid(m.data()); pid > 0 {
		if p, err := os.FindProcess(pid); err == nil {
			p.Kill()
		}
	}
}

// A node that takes another's address, or a network behind it, gets no answer: its
// certificate has one address, and nobody gives it a route.
func TestMesh_ForeignAddress(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	l := newLab(t, "a1", "a2")
	a1, a2 := l.nodes["a1"], l.nodes["a2"]
	a1.is(a2, "direct")
	for _, claimed := range []string{"10.134.99.99", "192.0.2.7"} {
		l.in("a2", "ip", "addr", "add", claimed+"/32", "dev", "fwmesh")
		if err := a2.reaches(a1, claimed); err == nil {
			t.Errorf("a2 talks as %s", claimed)
		}
	}
	l.must(a2.reaches(a1))
}

// The server knows which nodes are up, by what they and its hub say, and how they
// reach each other. A node that is unplugged is down.
func TestMesh_PresenceAndList(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	l := newLab(t, "a1", "a2")
	a1, a2 := l.nodes["a1"], l.nodes["a2"]
	start := time.Now()
	up := func(m *machine, want bool) {
		t.Helper()
		l.await(fmt.Sprintf("presence of %s is %v", m.name, want), func() error {
			facts, err := l.presence()
			if err == nil && facts[m.host] != want {
				err = fmt.Errorf("%v", facts)
			}
			return err
		})
	}
	up(a1, true)
	up(a2, true)
	t.Logf("both up %v after they were in the mesh", time.Since(start).Round(100*time.Millisecond))
	a1.is(a2, "direct")
	l.await("the list says it", func() error {
		out := l.admin("mesh", "list", a1.host)
		if !strings.Contains(out, "direct") || !strings.Contains(out, "in a network of this machine") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	l.in("a2", "ip", "link", "set", "dev", "lan0", "down")
	start = time.Now()
	up(a2, false)
	t.Logf("down %v after it was unplugged", time.Since(start).Round(100*time.Millisecond))
	up(a1, true)
	l.in("a2", "ip", "link", "set", "dev", "lan0", "up")
	l.in("a2", "ip", "route", "add", "default", "via", sites["a2"].via)
	up(a2, true)
}
