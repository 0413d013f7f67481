package oar_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/oar"
	"github.com/fernwerk/fernwerk/test/require"
	realoar "github.com/fernwerk/fernwerk/test/require/oar"
)

// bench is presence over a real OAR, with n hosts, and what OAR was called for.
type bench struct {
	testing.TB
	s        *realoar.Server
	p        *presence.Presence
	d        *oar.Driver
	store    *store.Store
	settings atomic.Int64 // calls of oarnodesetting
	epochs   int
}

func start(t testing.TB, hosts int, more ...presence.Driver) *bench {
	t.Helper()
	s := require.OAR(t)
	b := &bench{TB: t, s: s, d: driver(s)}
	b.d.Tools.Observe = func(program string, _ time.Duration, _ error) {
		if program == "oarnodesetting" {
			b.settings.Add(1)
		}
	}
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if b.store, err = store.Open(t.Context(), db, time.Now, append(presence.Classes(), lease.Class)...); err != nil {
		t.Fatal(err)
	}
	b.p = presence.New(presence.Config{Store: b.store, Leases: lease.New(b.store, "server"), Drivers: append(more, b.d), Log: slog.New(slog.DiscardHandler),
		Grace: 20 * time.Millisecond, Resync: 2 * time.Second, NodeType: func(*store.Tx, string) (string, error) { return "vnode", nil }})
	// The store, the leases and the driver work until the test ends.
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { b.store.Serve(ctx) })
	t.Cleanup(func() { cancel(); all.Wait() })
	err = b.store.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		vnode := fleet.NodeType{ID: "vnode", AddressRange: "10.134.0.0/16", NamePattern: "vnode-{a}-{b}", Domain: "grid.test", Tunnel: "openvpn", DeadName: "keep",
			Scheduler: "oar", Resources: "node", Properties: []string{"besteffort=YES"}}
		if err := tx.Put(fleet.NodeTypes, fleet.NodeTypes.Encode(vnode)); err != nil {
			return err
		}
		for i := range hosts {
			if err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve drives from now on.
func (b *bench) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.p.Serve(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
}

func host(i int) string { return fmt.Sprintf("client%d.grid.test", i) }

// up reports a new session, and returns its name.
func (b *bench) up(i int) string {
	b.Helper()
	b.epochs++
	epoch := fmt.Sprint("session", b.epochs)
	if err := b.p.Up(b.Context(), presence.Session{HostID: host(i), Tunnel: "vpn", Epoch: epoch, Since: time.Now(), ClientAddress: netip.MustParseAddr("192.0.2.7")}); err != nil {
		b.Fatal(err)
	}
	return epoch
}

func (b *bench) down(i int, epoch string) {
	b.Helper()
	if err := b.p.Down(b.Context(), host(i), "vpn", epoch); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) node(i int) (n node.Node) {
	b.Helper()
	err := b.store.View(b.Context(), func(tx *store.Tx) (err error) { n, _, err = presence.One(tx, host(i)); return err })
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// is waits until OAR says a state of a node.
func (b *bench) is(i int, state string) {
	b.Helper()
	name := b.node(i).Name
	require.Until(b, name+" is "+state, func() bool {
		out, _ := b.s.Run("oarnodes", name)
		return strings.Contains(out, "state : "+state+"\n")
	})
}

// job submits a job and waits until it runs.
func (b *bench) job(argv ...string) string {
	b.Helper()
	id, err := b.s.Submit(argv...)
	if err != nil {
		b.Fatal(err)
	}
	require.Until(b, "the job runs", func() bool { return b.state(id) == "Running" })
	return id
}

func (b *bench) state(job string) string {
	out, _ := b.s.Run("oarstat", "-s", "-j", job)
	_, state, _ := strings.Cut(strings.TrimSpace(out), ": ")
	return state
}

func (b *bench) plug(i int) {
	b.Helper()
	n := b.node(i)
	if err := b.s.Node(n.Name, n.Address); err != nil {
		b.Fatal(err)
	}
}

// names is a driver that keeps what it is told, in place of DNS.
type names struct {
	mu sync.Mutex
	is map[string]node.State
}

func (*names) Name() string { return "names of nodes" }

func (d *names) Read(context.Context) (map[string]node.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]node.State{}
	for name, s := range d.is {
		all[name] = s
	}
	return all, nil
}

func (d *names) Apply(_ context.Context, c node.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.is[c.Node.Name] = node.State{Up: c.Node.Up, Epoch: c.Node.Epoch, Address: c.Node.Address}
	return nil
}

// TestAttack67_SchedulerDown: while OAR is dead, tunnels come and go and names
// follow as ever; when it is back, it is made right.
func TestAttack67_SchedulerDown(t *testing.T) {
	t.Parallel() // it mostly waits for OAR
	other := &names{is: map[string]node.State{}}
	b := start(t, 3, other)
	slow := filepath.Join(t.TempDir(), "slow")
	b.d.Tools.Prefix = append([]string{"sh", "-c", `test ! -e "$0" || sleep 4; exec "$@"`, slow}, b.d.Tools.Prefix...)
	b.serve()
	first := b.up(0)
	b.plug(0)
	b.is(0, "Alive")
	if err := b.s.Database.Interrupt(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	b.down(0, first)
	b.up(1)
	b.up(2)
	took := time.Since(begun)
	require.Until(t, "names follow", func() bool {
		all, _ := other.Read(t.Context())
		return !all[b.node(0).Name].Up && all[b.node(1).Name].Up && all[b.node(2).Name].Up
	})
	t.Logf("three reports in %v, names right after %v, OAR dead", took, time.Since(begun))
	if took > 5*time.Second {
		t.Errorf("three reports took %v", took)
	}
	require.Until(t, "the driver is late", func() bool { return b.p.Late()["oar"] != nil })
	if err := b.s.Database.Resume(); err != nil {
		t.Fatal(err)
	}
	b.plug(1)
	b.plug(2)
	begun = time.Now()
	b.is(0, "Absent")
	b.is(1, "Alive")
	b.is(2, "Alive")
	t.Logf("OAR is right %v after it is back", time.Since(begun))
	// Slow: each tool takes four seconds longer, and nobody else waits.
	if err := os.WriteFile(slow, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begun = time.Now()
	b.up(0)
	took = time.Since(begun)
	require.Until(t, "names follow", func() bool { all, _ := other.Read(t.Context()); return all[b.node(0).Name].Up })
	named := time.Since(begun)
	b.is(0, "Alive")
	t.Logf("OAR slow: a report in %v, the name right after %v, OAR after %v", took, named, time.Since(begun))
	if took > 2*time.Second {
		t.Errorf("a report took %v", took)
	}
}

// TestAttack68_NodeLost: a node is lost during a job. OAR is told once; the job
// ends; neither another node's job nor a reservation is touched. OAR 2.5.9 does not
// submit a lost job again by itself, of whatever type: NodeChangeState kills it, and
// asks for no other. Its owner does that with one word, and it waits for the node.
func TestAttack68_NodeLost(t *testing.T) {
	t.Parallel() // it mostly waits for OAR
	b := start(t, 2)
	b.serve()
	lost, _ := b.up(0), b.up(1)
	b.plug(0)
	b.plug(1)
	b.is(0, "Alive")
	b.is(1, "Alive")
	on := func(i int) string { return "network_address='" + b.node(i).Name + "'" }
	job := b.job("-t", "besteffort", "-t", "idempotent", "-p", on(0), "-l", "/resource_id=1,walltime=0:10:00", "sleep 600")
	other := b.job("-p", on(1), "-l", "/resource_id=1,walltime=0:10:00", "sleep 600")
	reserved, err := b.s.Submit("-r", time.Now().Add(2*time.Hour).Format(time.DateTime), "-p", on(0), "-l", "/resource_id=1,walltime=0:10:00", "sleep 10")
	if err != nil {
		t.Fatal(err)
	}
	before := b.settings.Load()
	begun := time.Now()
	if err := b.s.Unplug(b.node(0).Address, job); err != nil {
		t.Fatal(err)
	}
	b.down(0, lost)
	b.down(0, lost)
	b.is(0, "Absent")
	t.Logf("Absent after %v", time.Since(begun))
	require.Until(t, "the lost job ends", func() bool { s := b.state(job); return s == "Error" || s == "Terminated" })
	t.Logf("the job has ended after %v", time.Since(begun))
	if told := b.settings.Load() - before; told != 1 {
		t.Errorf("OAR was told %d times", told)
	}
	if s := b.state(other); s != "Running" {
		t.Errorf("the other node's job is %s", s)
	}
	if s := b.state(reserved); s != "Waiting" {
		t.Errorf("the reservation is %s", s)
	}
	out, err := b.s.Run("oarstat", "--sql", "resubmit_job_id = "+job)
	if err != nil || strings.Contains(out, "besteffort") {
		t.Errorf("OAR submitted the job again, which the documents deny: %v %s", err, out)
	}
	again, err := b.s.Submit("--resubmit=" + job)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.s.Plug(b.node(0).Address); err != nil {
		t.Fatal(err)
	}
	b.up(0)
	b.is(0, "Alive")
	require.Until(t, "the job that was submitted again runs", func() bool { return b.state(again) == "Running" })
}

// TestAttack66_Flap: 100 flaps at random, OAR restarted twice meanwhile: the end
// state is right, and the job on another node still runs.
func TestAttack66_Flap(t *testing.T) {
	t.Parallel() // it mostly waits for OAR
	b := start(t, 2)
	b.serve()
	b.up(0)
	b.up(1)
	b.plug(0)
	b.plug(1)
	b.is(0, "Alive")
	b.is(1, "Alive")
	job := b.job("-p", "network_address='"+b.node(1).Name+"'", "-l", "/resource_id=1,walltime=0:30:00", "sleep 1800")
	before, begun := b.settings.Load(), time.Now()
	rnd := rand.New(rand.NewPCG(3, 4))
	var known []string
	for i := range 100 {
		known = append(known, b.up(0))
		for range rnd.IntN(3) { // late, repeated and stale ends
			b.down(0, known[rnd.IntN(len(known))])
		}
		if rnd.IntN(4) == 0 {
			seen := b.settings.Load()
			require.Until(t, "OAR hears something", func() bool {
				return b.settings.Load() > seen || b.late() == nil
			})
		}
		if i == 33 || i == 66 {
			other{b.s, t}.Restart()
		}
	}
	b.down(0, known[99])
	b.is(0, "Absent")
	b.up(0)
	b.is(0, "Alive")
	t.Logf("100 flaps in %v, told in %d calls", time.Since(begun), b.settings.Load()-before)
	if s := b.state(job); s != "Running" {
		t.Errorf("the other node's job is %s", s)
	}
	if all, err := driver(b.s).Read(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("%d resources, %v", len(all), err)
	}
}

// late is what the driver last failed with, or that it has something to do.
func (b *bench) late() error {
	if err := b.p.Late()["oar"]; err != nil {
		return err
	}
	d := driver(b.s) // the other one is driven meanwhile
	is, err := d.Read(b.Context())
	if err != nil {
		return err
	}
	n := b.node(0)
	if s, found := is[n.Name]; d.Differs(n, s, found) != "" {
		return errors.New("differs")
	}
	return nil
}

// TestDrain prints how long OAR takes for many nodes that come, and go, at once:
// 300 with FERNWERK_TEST_NODES=300, which takes some minutes.
func TestDrain(t *testing.T) {
	t.Parallel() // it mostly waits for OAR
	many := 20
	if n, err := strconv.Atoi(os.Getenv("FERNWERK_TEST_NODES")); err == nil && n > 0 {
		many = n
	}
	b := start(t, many)
	var last []string
	begun := time.Now()
	for i := range many {
		last = append(last, b.up(i))
	}
	t.Logf("%d reports in %v", many, time.Since(begun))
	drain := func(what string) {
		t.Helper()
		begun := time.Now()
		if err := b.p.Reconcile(t.Context(), b.d); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begun)
		t.Logf("%d nodes %s in %v", many, what, took)
		t.Attr(what, fmt.Sprint(took.Seconds()))
	}
	drain("added")
	begun = time.Now()
	is, err := driver(b.s).Read(t.Context())
	if err != nil || len(is) != many {
		t.Fatalf("%d nodes, %v", len(is), err)
	}
	t.Logf("%d nodes read in %v", many, time.Since(begun))
	for i, epoch := range last {
		b.down(i, epoch)
	}
	require.Until(t, "the grace is over", func() bool { return !b.node(many - 1).Up })
	drain("down")
}
