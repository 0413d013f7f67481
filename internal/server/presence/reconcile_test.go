package presence_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/presence"
)

// side is a driver's other side, as real as a map can be.
type side struct {
	mu     sync.Mutex
	name   string
	is     map[string]node.State
	log    []string
	block  chan struct{} // not nil: calls wait for it, or for the end of their time
	refuse error
	moved  chan struct{}
}

func newSide(name string) *side {
	return &side{name: name, is: map[string]node.State{}, moved: make(chan struct{}, 1000)}
}

func (s *side) Name() string { return s.name }

func (s *side) Read(ctx context.Context) (map[string]node.State, error) {
	if s.block != nil {
		select {
		case <-s.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.is), nil
}

func (s *side) Apply(_ context.Context, c node.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	state := node.State{Up: c.Node.Up, Address: c.Node.Address, Epoch: c.Node.Epoch}
	if c.Gone {
		state = c.Was
		state.Up = false
	}
	s.is[c.Node.Name] = state
	s.log = append(s.log, fmt.Sprint(c.Node.Short(), " ", state.Up))
	s.moved <- struct{}{}
	return nil
}

func TestReconcile(t *testing.T) {
	c := &clock{}
	b := lite(t, c.now)
	p := b.server()
	b.fill(3)
	ctx := t.Context()
	oar := newSide("oar")
	oar.is["node1.other.org"] = node.State{Up: true}                // not ours
	oar.is["vnode-9-9.grid.example.org"] = node.State{Up: true}     // ours, and nobody's any more
	oar.is["vnode-9-10.grid.example.org"] = node.State{Word: "out"} // the same, and down
	good(t, p.Up(ctx, session(host(0), "openvpn", 1)))
	good(t, p.Up(ctx, session(host(1), "openvpn", 1)))
	good(t, p.Reconcile(ctx, oar))
	up0, up1 := b.node(host(0)), b.node(host(1))
	want := []string{up0.Short() + " true", up1.Short() + " true", "vnode-9-9 false"}
	if slices.Sort(oar.log[:2]); !slices.Contains([]bool{slices.Equal(oar.log, want), slices.Equal(oar.log, []string{want[1], want[0], want[2]})}, true) {
		t.Fatalf("%v, want %v", oar.log, want)
	}
	oar.log = nil
	good(t, p.Reconcile(ctx, oar))
	if len(oar.log) != 0 {
		t.Errorf("what is right was changed: %v", oar.log)
	}
	// The scheduler's own doing under the same session stays; a new session counts.
	oar.is[up0.Name] = node.State{Epoch: up0.Epoch, Word: "Suspected"}
	good(t, p.Reconcile(ctx, oar))
	if len(oar.log) != 0 {
		t.Errorf("suspected, and changed: %v", oar.log)
	}
	good(t, p.Up(ctx, session(host(0), "openvpn", 2)))
	good(t, p.Down(ctx, host(1), "openvpn", "s1"))
	good(t, p.Reconcile(ctx, oar))
	c.pass(time.Minute)
	good(t, p.Reconcile(ctx, oar))
	if !slices.Equal(oar.log, []string{up0.Short() + " true", up1.Short() + " false"}) {
		t.Errorf("%v", oar.log)
	}
	if !oar.is["node1.other.org"].Up {
		t.Error("what is not ours was changed")
	}
	oar.refuse = errors.New("no")
	good(t, p.Up(ctx, session(host(2), "openvpn", 1)))
	if err := p.Reconcile(ctx, oar); !errors.Is(err, oar.refuse) {
		t.Errorf("%v", err)
	}
}

// narrow refuses all nodes but one before it asks anybody.
type narrow struct {
	*side
	likes string
}

func (n narrow) Apply(ctx context.Context, c node.Change) error {
	if c.Node.Name != n.likes {
		return fleet.Errorf(fleet.Invalid, "wrong properties")
	}
	return n.side.Apply(ctx, c)
}

// Nodes that cannot be what they shall be keep no other one away, however many
// they are.
func TestReconcile_Invalid(t *testing.T) {
	b := lite(t, (&clock{}).now)
	p := b.server()
	b.fill(9)
	for i := range 9 {
		good(t, p.Up(t.Context(), session(host(i), "openvpn", 1)))
		d := narrow{newSide("slurm"), b.node(host(i)).Name}
		if err := p.Reconcile(t.Context(), d); i > 0 && fleet.CodeOf(err) != fleet.Invalid || !d.is[d.likes].Up {
			t.Errorf("%d: %v, %v", i, err, d.is)
		}
	}
}

// Row 67: a scheduler that is dead or slow holds neither a tunnel nor another
// driver, and is right soon after it works again.
func TestDeadDriverHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := lite(t, time.Now)
		dead, dns := newSide("oar"), newSide("dns")
		dead.block = make(chan struct{})
		p := b.server(dead, dns)
		b.fill(5)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- p.Serve(ctx) }()
		synctest.Wait() // the dead one holds its call
		began := time.Now()
		for i := range 5 {
			good(t, p.Up(ctx, session(host(i), "openvpn", 1)))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("reports waited %v", took)
		}
		for range 5 {
			<-dns.moved
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("DNS waited %v", took)
		}
		time.Sleep(10 * time.Minute) // it stays dead: its calls end by themselves
		if p.Late()["oar"] == nil || p.Late()["dns"] != nil {
			t.Errorf("late are %v", p.Late())
		}
		close(dead.block)
		for range 5 {
			<-dead.moved
		}
		good(t, p.Down(ctx, host(0), "openvpn", "s1"))
		began = time.Now()
		<-dns.moved
		if took := time.Since(began); took < presence.Grace || took > presence.Grace+time.Second {
			t.Errorf("down after %v, the grace is %v", took, presence.Grace)
		}
		<-dead.moved
		synctest.Wait()
		if p.Late()["oar"] != nil {
			t.Errorf("late are %v", p.Late())
		}
		if got := b.history(host(0)); !slices.Equal(got, []string{"up", "down"}) {
			t.Errorf("the history says %v", got)
		}
		// A flap within the grace is none.
		good(t, p.Down(ctx, host(1), "openvpn", "s1"))
		time.Sleep(presence.Grace / 2)
		good(t, p.Up(ctx, session(host(1), "openvpn", 2)))
		time.Sleep(2 * presence.Grace)
		if got := b.history(host(1)); !slices.Equal(got, []string{"up"}) || !b.node(host(1)).Up {
			t.Errorf("the history says %v", got)
		}
		for _, line := range dead.log {
			if line == b.node(host(1)).Short()+" false" {
				t.Error("a flap took the node down")
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// What people change is noticed at once: a host that is deleted, another domain.
func TestEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := lite(t, time.Now)
		oar := newSide("oar")
		p := b.server(oar)
		b.fill(2)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- p.Serve(ctx) }()
		for i := range 2 {
			good(t, p.Up(ctx, session(host(i), "openvpn", 1)))
			<-oar.moved
		}
		first, second := b.node(host(0)), b.node(host(1))
		time.Sleep(time.Minute)
		oar.log = nil
		soon := func(what string) {
			t.Helper()
			began := time.Now()
			<-oar.moved
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s was noticed after %v", what, took)
			}
		}
		b.update(func(tx *store.Tx) error {
			return tx.Remove(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host(0)})
		})
		soon("a host that was deleted")
		b.fill(0, func(nt *fleet.NodeType) { nt.Domain = "other.example.org" })
		soon("another domain")
		time.Sleep(time.Minute)
		stop()
		good(t, <-ended)
		if oar.is[first.Name].Up || !oar.is[second.Short()+".other.example.org"].Up {
			t.Errorf("%v", oar.is)
		}
	})
}

// Of two servers one drives; when it ends, the other goes on.
func TestOneServerDrives(t *testing.T) {
	b := postgreSQL(t, time.Now)
	one, two := newSide("oar"), newSide("oar")
	two.is, two.moved = one.is, one.moved
	first := b.server(one)
	b.fill(2)
	ctx, stop := context.WithCancel(t.Context())
	go b.stores[0].Serve(ctx)
	ended := make(chan error, 1)
	go func() { ended <- first.Serve(ctx) }()
	good(t, first.Up(t.Context(), session(host(0), "openvpn", 1)))
	<-one.moved
	second := b.server(two)
	later, finish := context.WithCancel(t.Context())
	go b.stores[1].Serve(later)
	finished := make(chan error, 1)
	go func() { finished <- second.Serve(later) }()
	good(t, second.Up(t.Context(), session(host(1), "openvpn", 1)))
	<-one.moved
	if len(two.log) != 0 {
		t.Errorf("both drive: %v", two.log)
	}
	stop()
	good(t, <-ended)
	b.stores[0] = b.stores[1]
	good(t, second.Up(t.Context(), session(host(1), "openvpn", 2)))
	<-two.moved
	if len(two.log) == 0 {
		t.Error("the second does not go on")
	}
	finish()
	good(t, <-finished)
}

// The name of the client is looked up beside the way, and only a name is taken.
func TestLookup(t *testing.T) {
	b := lite(t, time.Now)
	p := b.server(newSide("oar"))
	p.Lookup = func(_ context.Context, a string) ([]string, error) {
		switch a {
		case "192.0.2.1":
			return []string{"browalle.example.net."}, nil
		case "192.0.2.2":
			return []string{"x'; drop table --."}, nil
		}
		return nil, errors.New("no such name")
	}
	b.fill(3)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx) }()
	for i := range 3 {
		s := session(host(i), "openvpn", 1)
		s.ClientAddress = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		good(t, p.Up(ctx, s))
	}
	wake, done := b.stores[0].Watch(presence.Topic)
	defer done()
	for b.node(host(0)).ClientName == "" {
		<-wake
	}
	if n := b.node(host(0)); n.ClientName != "browalle.example.net" {
		t.Errorf("%+v", n)
	}
	if n := b.node(host(1)); n.ClientName != "" {
		t.Errorf("%+v", n)
	}
	stop()
	good(t, <-ended)
}

// Three hundred nodes come back at once, twice, to two servers: each has an
// address of its own, the same as before, and every report is taken in time.
func TestThreeHundredAtOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, b *bench, c *clock) {
		const nodes = 300
		servers := []*presence.Presence{b.server()}
		if t.Name() == "TestThreeHundredAtOnce/PostgreSQL" {
			servers = append(servers, b.server())
		}
		b.fill(nodes)
		before := map[string]netip.Addr{}
		for round := range 2 {
			began := time.Now()
			var all sync.WaitGroup
			for i := range nodes {
				all.Go(func() {
					if err := servers[i%len(servers)].Up(context.Background(), session(host(i), "openvpn", round)); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			took := time.Since(began)
			t.Logf("%d reports in %v", nodes, took)
			if took > 10*time.Second {
				t.Errorf("%d reports took %v", nodes, took)
			}
			has := map[netip.Addr]string{}
			for i := range nodes {
				n := b.node(host(i))
				if other := has[n.Address]; other != "" || !n.Up {
					t.Fatalf("%+v, beside %q", n, other)
				}
				has[n.Address] = n.HostID
				if round > 0 && before[n.HostID] != n.Address {
					t.Errorf("%s moved to %v", n.HostID, n.Address)
				}
				before[n.HostID] = n.Address
			}
		}
		oar := newSide("oar")
		good(t, servers[0].Reconcile(t.Context(), oar))
		if len(oar.is) != nodes {
			t.Errorf("%d nodes there", len(oar.is))
		}
	})
}

// Who becomes a node joins the groups of its type, once.
func TestGroups(t *testing.T) {
	c := &clock{}
	b := lite(t, c.now)
	p := b.server()
	b.fill(1, func(nt *fleet.NodeType) { nt.Groups = []string{"nodes", "nowhere"} })
	member := fleet.Row{"groupType": fleet.HostGroup, "groupId": "nodes", "objectId": host(0)}
	b.update(func(tx *store.Tx) error {
		return tx.Put(fleet.Groups, fleet.Row{"type": fleet.HostGroup, "id": "nodes"})
	})
	good(t, p.Up(t.Context(), session(host(0), "openvpn", 1)))
	b.update(func(tx *store.Tx) error {
		r, err := tx.ByKey(fleet.Memberships, fleet.Memberships.Key(member))
		if err != nil || r == nil {
			t.Errorf("it is in no group: %v", err)
		}
		return tx.Remove(fleet.Memberships, member)
	})
	good(t, p.Up(t.Context(), session(host(0), "openvpn", 2)))
	b.update(func(tx *store.Tx) error {
		if r, err := tx.ByKey(fleet.Memberships, fleet.Memberships.Key(member)); err != nil || r != nil {
			t.Errorf("it is back: %v, %v", r, err)
		}
		return nil
	})
}
