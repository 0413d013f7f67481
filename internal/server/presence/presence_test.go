package presence_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/test/require"
)

// clock goes when a test says so.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(1_800_000_000, c.Load()) }
func (c *clock) pass(d time.Duration) { c.Add(int64(d)) }

// bench is servers on one database.
type bench struct {
	t      testing.TB
	now    func() time.Time
	open   func() (*sqldb.DB, error)
	stores []*store.Store
	all    []*presence.Presence
}

func (b *bench) server(drivers ...presence.Driver) *presence.Presence {
	b.t.Helper()
	db, err := b.open()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { db.Close() })
	s, err := store.Open(context.Background(), db, b.now, append(presence.Classes(), lease.Class)...)
	if err != nil {
		b.t.Fatal(err)
	}
	p := presence.New(presence.Config{Store: s, Leases: lease.New(s, fmt.Sprint("server", len(b.all))), Drivers: drivers, Log: slog.New(slog.DiscardHandler),
		NodeType: func(*store.Tx, string) (string, error) { return "vnode", nil }})
	b.stores, b.all = append(b.stores, s), append(b.all, p)
	return p
}

func lite(t testing.TB, now func() time.Time) *bench {
	path := filepath.Join(t.TempDir(), "x.db")
	return &bench{t: t, now: now, open: func() (*sqldb.DB, error) { return sqlite.Open(path) }}
}

func postgreSQL(t testing.TB, now func() time.Time) *bench {
	url := require.Postgres(t)
	return &bench{t: t, now: now, open: func() (*sqldb.DB, error) { return postgres.Open(context.Background(), url) }}
}

func onEngines(t *testing.T, test func(t *testing.T, b *bench, c *clock)) {
	t.Run("SQLite", func(t *testing.T) { c := &clock{}; test(t, lite(t, c.now), c) })
	t.Run("PostgreSQL", func(t *testing.T) { c := &clock{}; test(t, postgreSQL(t, c.now), c) })
}

func host(i int) string { return fmt.Sprintf("client%d.example.org", i) }

// fill makes hosts, and their node type.
func (b *bench) fill(n int, change ...func(*fleet.NodeType)) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		nt := fleet.NodeType{ID: "vnode", AddressRange: "10.134.0.0/16", NamePattern: "vnode-{a}-{b}", Domain: "grid.example.org", Tunnel: "openvpn", DeadName: "keep",
			Scheduler: "oar", Resources: "core", Properties: []string{"besteffort=YES"}}
		for _, c := range change {
			c(&nt)
		}
		if err := tx.Put(fleet.NodeTypes, fleet.NodeTypes.Encode(nt)); err != nil {
			return err
		}
		for i := range n {
			if err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host(i)}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) update(fn func(tx *store.Tx) error) {
	b.t.Helper()
	if err := b.stores[0].Update(context.Background(), store.Origin{Actor: "test"}, fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) node(hostID string) (n node.Node) {
	b.t.Helper()
	err := b.stores[0].View(context.Background(), func(tx *store.Tx) (err error) { n, _, err = presence.One(tx, hostID); return err })
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bench) history(hostID string) (ops []string) {
	b.t.Helper()
	err := b.stores[0].View(context.Background(), func(tx *store.Tx) error {
		all, err := tx.History(store.Look{Object: hostID, Actor: "presence"})
		for _, ch := range slices.Backward(all) {
			ops = append(ops, ch.Op)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return ops
}

func session(hostID, tunnel string, n int) presence.Session {
	return presence.Session{HostID: hostID, Tunnel: tunnel, Epoch: fmt.Sprint("s", n), Since: time.Unix(1_790_000_000+int64(n), 0), ClientAddress: netip.MustParseAddr("192.0.2.7")}
}

func good(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Row 66: sessions of several tunnels, each beginning and ending, reported in any
// order, some twice, by several servers: the end is what the last session of each
// tunnel is.
func TestFlaps_AnyOrder(t *testing.T) {
	onEngines(t, func(t *testing.T, b *bench, c *clock) {
		servers := []*presence.Presence{b.server()}
		if t.Name() == "TestFlaps_AnyOrder/PostgreSQL" {
			servers = append(servers, b.server())
		}
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			hostID := fmt.Sprintf("flapper%d.example.org", n)
			if n == 1 {
				b.fill(0)
			}
			b.update(func(tx *store.Tx) error {
				return tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": hostID})
			})
			type report struct {
				s  presence.Session
				up bool
			}
			var reports []report
			want := false
			for _, tunnel := range []string{"openvpn", "mesh"}[:rapid.IntRange(1, 2).Draw(rt, "tunnels")] {
				flaps := rapid.SampledFrom([]int{1, 2, 3, 5, 12}).Draw(rt, "flaps")
				if n == 5 {
					flaps = 100
				}
				for i := range flaps {
					s := session(hostID, tunnel, i)
					reports = append(reports, report{s, true})
					last := i == flaps-1
					if ends := rapid.IntRange(0, 9).Draw(rt, "ends") > 0 && !last || last && rapid.Bool().Draw(rt, "last ends"); ends {
						reports = append(reports, report{s, false})
					} else if last {
						want = true
					}
				}
			}
			for range rapid.IntRange(0, len(reports)).Draw(rt, "twice") {
				reports = append(reports, rapid.SampledFrom(reports).Draw(rt, "again"))
			}
			for i, r := range rapid.Permutation(reports).Draw(rt, "order") {
				p := servers[i%len(servers)]
				var err error
				if r.up {
					err = p.Up(context.Background(), r.s)
				} else {
					err = p.Down(context.Background(), r.s.HostID, r.s.Tunnel, r.s.Epoch)
				}
				if err != nil {
					rt.Fatal(err)
				}
			}
			c.pass(presence.Grace + time.Second)
			if got := b.node(hostID); got.Up != want {
				rt.Fatalf("up is %t, shall be %t", got.Up, want)
			}
			if err := b.stores[0].View(context.Background(), func(tx *store.Tx) error {
				facts, err := presence.Facts(tx, hostID)
				if len(facts) > 2 {
					rt.Errorf("%d sessions are kept", len(facts))
				}
				return err
			}); err != nil {
				rt.Fatal(err)
			}
		})
	})
}

func TestStaleDown(t *testing.T) {
	onEngines(t, func(t *testing.T, b *bench, c *clock) {
		p := b.server()
		b.fill(2)
		ctx := t.Context()
		good(t, p.Up(ctx, session(host(0), "openvpn", 1)))
		first := b.node(host(0))
		if !first.Up || first.Epoch == 0 || first.Name == "" || !first.ConnectedSince.Equal(time.Unix(1_790_000_001, 0)) || first.ClientAddress.String() != "192.0.2.7" {
			t.Fatalf("%+v", first)
		}
		good(t, p.Up(ctx, session(host(0), "openvpn", 2)))
		good(t, p.Down(ctx, host(0), "openvpn", "s1")) // of the session before
		c.pass(time.Hour)
		second := b.node(host(0))
		if !second.Up || second.Epoch <= first.Epoch || second.Address != first.Address {
			t.Errorf("%+v after %+v", second, first)
		}
		good(t, p.Up(ctx, session(host(0), "openvpn", 2))) // again: nothing new
		if n := b.node(host(0)); n.Epoch != second.Epoch {
			t.Errorf("a repeated report is a new session: %+v", n)
		}
		good(t, p.Up(ctx, session(host(0), "mesh", 1)))
		good(t, p.Down(ctx, host(0), "openvpn", "s2"))
		c.pass(time.Hour)
		if !b.node(host(0)).Up {
			t.Error("a node is down while one of its tunnels is up")
		}
		good(t, p.Down(ctx, host(0), "mesh", "s1"))
		c.pass(presence.Grace - time.Second)
		if !b.node(host(0)).Up {
			t.Error("there is no grace")
		}
		c.pass(2 * time.Second)
		if b.node(host(0)).Up {
			t.Error("it stays up")
		}
	})
}

// The state is in the database: another server, or the next, knows it.
func TestRestart(t *testing.T) {
	onEngines(t, func(t *testing.T, b *bench, c *clock) {
		p := b.server()
		b.fill(1)
		good(t, p.Up(t.Context(), session(host(0), "openvpn", 1)))
		was := b.node(host(0))
		next := b.server()
		b.stores[0] = b.stores[1]
		if now := b.node(host(0)); now.Epoch != was.Epoch || !now.Up {
			t.Errorf("%+v after %+v", now, was)
		}
		good(t, next.Down(t.Context(), host(0), "openvpn", "s1"))
		c.pass(time.Minute)
		if b.node(host(0)).Up {
			t.Error("it stays up")
		}
	})
}

// What a tunnel holds after a restart counts, whatever was there before.
func TestSync(t *testing.T) {
	onEngines(t, func(t *testing.T, b *bench, c *clock) {
		p := b.server()
		b.fill(4)
		ctx := t.Context()
		for i := range 3 {
			good(t, p.Up(ctx, session(host(i), "openvpn", 10)))
		}
		good(t, p.Down(ctx, host(2), "openvpn", "s10"))
		earlier := session(host(1), "openvpn", 5) // the clock was set back meanwhile
		good(t, p.Sync(ctx, "openvpn", []presence.Session{earlier, session(host(2), "openvpn", 10), session(host(3), "openvpn", 1)}))
		c.pass(time.Minute)
		for i, want := range []bool{false, true, true, true} {
			if n := b.node(host(i)); n.Up != want {
				t.Errorf("%s: up %t", host(i), n.Up)
			}
		}
		if n := b.node(host(1)); !n.ConnectedSince.Equal(earlier.Since) {
			t.Errorf("%+v", n)
		}
		if err := p.Sync(ctx, "openvpn", []presence.Session{session(host(0), "mesh", 1)}); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("another tunnel's session: %v", err)
		}
	})
}

// A tunnel that does not tell of the end says until when a session lasts.
func TestUntil(t *testing.T) {
	c := &clock{}
	b := lite(t, c.now)
	p := b.server()
	b.fill(1)
	s := session(host(0), "mesh", 1)
	s.Until = c.now().Add(time.Minute)
	good(t, p.Up(t.Context(), s))
	first := b.node(host(0))
	c.pass(50 * time.Second)
	s.Until = c.now().Add(time.Minute)
	good(t, p.Up(t.Context(), s))
	c.pass(50 * time.Second)
	if n := b.node(host(0)); !n.Up || n.Epoch != first.Epoch {
		t.Errorf("%+v", n)
	}
	c.pass(50 * time.Second)
	if b.node(host(0)).Up {
		t.Error("it lasts")
	}
	s.Until = c.now().Add(time.Minute)
	good(t, p.Up(t.Context(), s))
	if n := b.node(host(0)); !n.Up || n.Epoch == first.Epoch {
		t.Errorf("after a gap: %+v", n)
	}
}

func TestUp_Refuses(t *testing.T) {
	c := &clock{}
	b := lite(t, c.now)
	p := b.server()
	b.fill(1)
	ok := session(host(0), "openvpn", 1)
	for name, change := range map[string]func(*presence.Session){
		"host":     func(s *presence.Session) { s.HostID = "x;y" },
		"nobody":   func(s *presence.Session) { s.HostID = "nobody.example.org" },
		"tunnel":   func(s *presence.Session) { s.Tunnel = "../x" },
		"epoch":    func(s *presence.Session) { s.Epoch = "a b" },
		"no epoch": func(s *presence.Session) { s.Epoch = "" },
		"no time":  func(s *presence.Session) { s.Since = time.Time{} },
		"address":  func(s *presence.Session) { s.Address = netip.MustParseAddr("10.135.0.7") },
		"server's": func(s *presence.Session) { s.Address = netip.MustParseAddr("10.134.0.1") },
	} {
		s := ok
		change(&s)
		if err := p.Up(t.Context(), s); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if n := b.node(host(0)); n.Up {
		t.Error("a refused session is up")
	}
}

// Two servers give out addresses at the same time: no address twice, each host
// one, and the same again when it comes back.
func TestAddress_Unique(t *testing.T) {
	onEngines(t, func(t *testing.T, b *bench, c *clock) {
		servers := []*presence.Presence{b.server()}
		if t.Name() == "TestAddress_Unique/PostgreSQL" {
			servers = append(servers, b.server())
		}
		const hosts = 61
		b.fill(hosts, func(nt *fleet.NodeType) { nt.AddressRange = "10.134.0.0/26" }) // exactly that many
		got := make([][]netip.Addr, len(servers))
		var all sync.WaitGroup
		for w, p := range servers {
			got[w] = make([]netip.Addr, hosts)
			for i := range hosts {
				all.Go(func() {
					a, err := p.Address(context.Background(), host(i))
					if err != nil {
						t.Error(err)
					}
					got[w][i] = a
				})
			}
		}
		all.Wait()
		has := map[netip.Addr]bool{}
		for i := range hosts {
			has[got[0][i]] = true
			for w := range servers {
				if got[w][i] != got[0][i] {
					t.Errorf("%s has %v and %v", host(i), got[w][i], got[0][i])
				}
			}
		}
		if len(has) != hosts {
			t.Errorf("%d addresses for %d hosts", len(has), hosts)
		}
		b.update(func(tx *store.Tx) error {
			return tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": "more.example.org"})
		})
		if _, err := servers[0].Address(t.Context(), "more.example.org"); fleet.CodeOf(err) != fleet.Unavailable {
			t.Errorf("a full range: %v", err)
		}
		b.update(func(tx *store.Tx) error { return tx.Remove(fleet.Hosts, fleet.Row{"id": host(7)}) })
		if a, err := servers[0].Address(t.Context(), "more.example.org"); err != nil || a != got[0][7] {
			t.Errorf("the place of a host that was deleted: %v, %v", a, err)
		}
	})
}

// An OpenVPN that somebody else runs gives addresses of its own pool.
func TestAddress_OfAForeignPool(t *testing.T) {
	c := &clock{}
	b := lite(t, c.now)
	p := b.server()
	b.fill(2)
	s := session(host(0), "openvpn", 1)
	s.Address = netip.MustParseAddr("10.134.7.38")
	good(t, p.Up(t.Context(), s))
	if n := b.node(host(0)); n.Name != "vnode-7-38.grid.example.org" {
		t.Errorf("%+v", n)
	}
	other := session(host(1), "openvpn", 1)
	other.Address = s.Address
	if err := p.Up(t.Context(), other); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("an address twice: %v", err)
	}
	good(t, p.Down(t.Context(), host(0), "openvpn", "s1"))
	c.pass(time.Minute)
	good(t, p.Up(t.Context(), other)) // the pool gave it on
	if n := b.node(host(1)); !n.Up || n.Name != "vnode-7-38.grid.example.org" {
		t.Errorf("%+v", n)
	}
	s = session(host(0), "openvpn", 2)
	s.Address = netip.MustParseAddr("10.134.7.39")
	good(t, p.Up(t.Context(), s))
	if n := b.node(host(0)); n.Name != "vnode-7-39.grid.example.org" {
		t.Errorf("%+v", n)
	}
}
