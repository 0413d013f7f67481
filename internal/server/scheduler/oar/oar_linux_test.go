package oar_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/oar"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/tool"
	"github.com/fernwerk/fernwerk/test/require"
	realoar "github.com/fernwerk/fernwerk/test/require/oar"
	"github.com/fernwerk/fernwerk/test/schedulertest"
)

func driver(s *realoar.Server) *oar.Driver {
	zone := time.FixedZone("CEST", 2*60*60)
	return oar.New(oar.Config{Tools: tool.Runner{Prefix: s.Prefix, Limit: 30 * time.Second}, Zone: zone,
		Cores: func(context.Context) (map[string]int, error) {
			return map[string]int{"client4.grid.test": 4}, nil
		}})
}

// other is the real server for the suite.
type other struct {
	*realoar.Server
	t testing.TB
}

func (o other) Driver() schedulertest.Driver { return driver(o.Server) }

func (o other) Prepare(n node.Node) {
	if err := o.Node(n.Name, n.Address); err != nil {
		o.t.Fatal(err)
	}
}

func (o other) Restart() {
	if err := o.StopAlmighty(); err != nil {
		o.t.Fatal(err)
	}
	if err := o.StartAlmighty(); err != nil {
		o.t.Fatal(err)
	}
}

func (other) Properties() [2]map[string]string {
	return [2]map[string]string{{"besteffort": "YES"}, {"besteffort": "NO", "gpu": "2"}}
}

func TestDriver(t *testing.T) {
	t.Parallel() // it mostly waits for OAR
	s := require.OAR(t)
	schedulertest.Run(t, other{s, t})
}

// sample is the resource that the seed shows, number 168 there.
func sample() node.Node {
	since, _ := time.Parse(time.RFC3339, "2008-07-03T20:32:35+02:00")
	return node.Node{HostID: "client317", Name: "vnode-2-98.grenoble.grid5000.fr", Address: netip.MustParseAddr("10.134.2.98"), NodeType: "vnode",
		Up: true, Epoch: 7, ConnectedSince: since.UTC(), ClientAddress: netip.MustParseAddr("152.77.57.112"), ClientName: "browalle.ujf-grenoble.fr",
		Scheduler: "oar", Resources: "node", Properties: map[string]string{"besteffort": "YES"}}
}

// TestDriver_SeedSample makes the seed's sample resource by the driver, and
// reads it back with all its properties by OAR's own tool.
func TestDriver_SeedSample(t *testing.T) {
	t.Parallel() // it mostly waits for OAR
	s := require.OAR(t)
	d := driver(s)
	n := sample()
	if err := s.Node(n.Name, n.Address); err != nil {
		t.Fatal(err)
	}
	settle(t, d, n)
	n.Up = false
	settle(t, d, n)
	out, err := s.Run("oarnodes", n.Name)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(out, "properties : ")
	is := map[string]bool{}
	for property := range strings.SplitSeq(strings.TrimSpace(line), ", ") {
		is[property] = true
	}
	for _, want := range strings.Split("besteffort=YES,cluster=vnode,cpuset=0,deploy=NO,desktop_computing=NO,idhalclientip=152.77.57.112,idhalclientname=browalle.ujf-grenoble.fr,"+
		"idhalcn=client317,idhalconnectedsince=Thu Jul  3 20:32:35 CEST 2008,idhaltype=vnode,ip=10.134.2.98,network_address=vnode-2-98.grenoble.grid5000.fr,type=default", ",") {
		if !is[want] {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if !strings.Contains(out, "network_address : vnode-2-98.grenoble.grid5000.fr\n") || !strings.Contains(out, "state : Absent\n") {
		t.Error(out)
	}
}

// settle takes a node to what it shall be, and waits until OAR says so.
func settle(t testing.TB, d *oar.Driver, n node.Node) node.State {
	t.Helper()
	var is node.State
	require.Until(t, n.Name+" is as it shall be", func() bool {
		all, err := d.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var found bool
		is, found = all[n.Name]
		why := d.Differs(n, is, found)
		if why == "" {
			return true
		}
		if err := d.Apply(t.Context(), node.Change{Node: n, Found: found, Was: is, Why: why}); err != nil {
			t.Fatal(err)
		}
		return false
	})
	return is
}

func read(t testing.TB, d *oar.Driver, name string) node.State {
	t.Helper()
	all, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all[name]
}

// A resource a core; what OAR and its administrator do within a session is
// theirs; an address is found again under its former name.
func TestDriver_Rules(t *testing.T) {
	t.Parallel() // it mostly waits for OAR
	s := require.OAR(t)
	d := driver(s)
	n := sample()
	n.HostID, n.Resources = "client4.grid.test", "core"
	if err := s.Node(n.Name, n.Address); err != nil {
		t.Fatal(err)
	}
	settle(t, d, n)
	out, err := s.Run("oarnodes", "-J", "--sql", "cpuset in ('0','1','2','3')")
	if err != nil || strings.Count(out, `"resource_id"`) != 4 {
		t.Errorf("%v %s", err, out)
	}
	is := func(want string) {
		t.Helper()
		require.Until(t, want, func() bool { return read(t, d, n.Name).Word == want })
	}
	set := func(args ...string) {
		t.Helper()
		if _, err := s.Run(append([]string{"oarnodesetting", "-n", "-h", n.Name}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	stays := func() {
		t.Helper()
		if why := d.Differs(n, read(t, d, n.Name), true); why != "" {
			t.Errorf("the driver wants a change: %s", why)
		}
	}
	set("-s", "Absent")
	is("Absent (standby)")
	stays()
	n.Epoch++
	settle(t, d, n)
	is("Alive")
	set("-s", "Dead")
	is("Dead")
	stays()
	n.Epoch++
	settle(t, d, n)
	is("Alive")
	set("-m", "on")
	is("Absent (maintenance)")
	stays()
	n.Epoch++
	settle(t, d, n)
	is("Absent (maintenance)")
	set("-m", "off")
	is("Alive")
	stays()
	// A silent node is Suspected by finaud, which runs at OAR's start, and found
	// again by it.
	if err := s.Unplug(n.Address); err != nil {
		t.Fatal(err)
	}
	other{s, t}.Restart()
	is("Suspected")
	stays()
	n.Up = false
	settle(t, d, n)
	is("Absent (tunnel down)")
	if err := s.Plug(n.Address); err != nil {
		t.Fatal(err)
	}
	n.Up, n.Epoch = true, n.Epoch+1
	settle(t, d, n)
	is("Alive")
	n.Name = "vnode-2-98.grid.test"
	settle(t, d, n)
	if all, err := d.Read(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("after another domain: %v, %v", all, err)
	}
}

// TestDriver_Loss: what OAR's tools lose without a word, the driver notices.
func TestDriver_Loss(t *testing.T) {
	t.Parallel() // it mostly waits for OAR
	s := require.OAR(t)
	d := driver(s)
	n := sample()
	if err := s.Node(n.Name, n.Address); err != nil {
		t.Fatal(err)
	}
	settle(t, d, n)
	// A property that somebody deletes meanwhile takes the others of its call with
	// it, with exit code 0.
	if _, err := s.Run("oarproperty", "-d", "idhalclientname"); err != nil {
		t.Fatal(err)
	}
	n.Epoch++
	err := d.Apply(t.Context(), node.Change{Node: n, Found: true, Was: node.State{Epoch: 7, Word: "Alive"}})
	if fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "idhalclientname") {
		t.Errorf("a lost change: %v", err)
	}
	settle(t, d, n)
	// Nobody listens: the state stays an intention, and is told again.
	if err := s.StopAlmighty(); err != nil {
		t.Fatal(err)
	}
	n.Up = false
	if err := d.Apply(t.Context(), node.Change{Node: n, Found: true}); err != nil {
		t.Fatal(err)
	}
	if is := read(t, d, n.Name); is.Word != "Alive, told: Absent" || d.Differs(n, is, true) == "" {
		t.Errorf("told nobody: %+v", is)
	}
	if err := s.StartAlmighty(); err != nil {
		t.Fatal(err)
	}
	if is := settle(t, d, n); is.Word != "Absent (tunnel down)" {
		t.Errorf("%+v", is)
	}
	if err := s.Database.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context()); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("without a database: %v", err)
	}
	if err := s.Database.Resume(); err != nil {
		t.Fatal(err)
	}
	n.Up, n.Epoch = true, n.Epoch+1
	settle(t, d, n)
}
