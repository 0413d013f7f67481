package slurm

import (
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/tool"
	"github.com/fernwerk/fernwerk/test/require"
	real "github.com/fernwerk/fernwerk/test/require/slurm"
	"github.com/fernwerk/fernwerk/test/schedulertest"
)

type other struct {
	*real.Server
	t testing.TB
}

func (o other) Driver() schedulertest.Driver { return &Driver{Tools: tool.Runner{Prefix: o.Prefix}} }

func (o other) Prepare(n node.Node) {
	if err := o.Node(n.Name, n.Address); err != nil {
		o.t.Fatal(err)
	}
}

func (o other) Restart() {
	if err := o.Server.Restart(); err != nil {
		o.t.Fatal(err)
	}
}

func (other) Properties() [2]map[string]string {
	return [2]map[string]string{{"features": "gpu+fast", "weight": "7"}, {"features": "fast+v2.1", "weight": "0"}}
}

func TestDriver(t *testing.T) {
	s := require.Slurm(t)
	schedulertest.Run(t, other{s, t})
	out, err := s.Run("scontrol", "-o", "show", "node", schedulertest.Node(1).Name)
	if err != nil || !strings.Contains(out, "cn=client1.grid.test,type=vnode,client=192.0.2.7,name=renamed.example.org") && !strings.Contains(out, "name=client.example.org") {
		t.Errorf("%v %s", err, out)
	}
}

// TestDriver_Gone: a node that is nobody's any more is deleted, but not with a job
// on it, and only if it is dynamic and was told of.
func TestDriver_Gone(t *testing.T) {
	s := require.Slurm(t)
	o := other{s, t}
	d := &Driver{Tools: tool.Runner{Prefix: s.Prefix}}
	idle, works, stranger := schedulertest.Node(1), schedulertest.Node(2), schedulertest.Node(3)
	read := func() map[string]node.State {
		t.Helper()
		all, err := d.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	// turn is what package presence does with a name that nobody has.
	turn := func(n node.Node) string {
		t.Helper()
		gone := node.Node{Name: n.Name}
		is, found := read()[n.Name]
		why := ""
		if found && (is.Up || d.Differs(gone, is, found) != "") {
			if err := d.Apply(t.Context(), node.Change{Node: gone, Found: true, Was: is, Gone: true}); err != nil {
				t.Error(err)
			}
			why = d.Differs(gone, is, found) + " "
		}
		return why
	}
	for i, n := range []*node.Node{&idle, &works, &stranger} {
		o.Prepare(*n)
		n.Up, n.Epoch = true, int64(i+1)
		if n == &stranger {
			break
		}
		if err := d.Apply(t.Context(), node.Change{Node: *n, Found: true, Was: read()[n.Name]}); err != nil {
			t.Fatal(err)
		}
	}
	id, err := s.Run("sbatch", "--parsable", "-D", "/tmp", "-o", "/dev/null", "-w", works.Name, "--wrap", "sleep 1000")
	if err != nil {
		t.Fatal(err)
	}
	id = strings.TrimSpace(id)
	job := func() string {
		out, _ := s.Run("squeue", "-h", "-o", "%T", "-j", id)
		return strings.TrimSpace(out)
	}
	require.Until(t, "the job runs", func() bool { return job() == "RUNNING" })
	if out, err := s.Run("scontrol", "delete", "nodename="+works.Name); err == nil || !strings.Contains(out, "busy") {
		t.Errorf("Slurm deletes a node with a job: %v %s", err, out)
	}

	turn(idle)
	if is, found := read()[idle.Name]; found {
		t.Errorf("an idle node that is nobody's is still %s", is.Word)
	}
	turn(works)
	is, found := read()[works.Name]
	if !found || strings.HasPrefix(is.Word, "ALLOCATED") {
		t.Errorf("a node with a job is %q, there: %t", is.Word, found)
	}
	if state := job(); state == "RUNNING" || state == "" {
		t.Errorf("the job is %q, and shall wait for another node", state)
	}
	require.Until(t, "it is deleted when its job is cleared away", func() bool {
		turn(works)
		_, found := read()[works.Name]
		return !found
	})
	turn(stranger)
	if is := read()[stranger.Name]; !down(is.Word) {
		t.Errorf("a node that was never told of is %q", is.Word)
	}
	if why := turn(stranger); why != "" {
		t.Errorf("it still differs: %s", why)
	}
}

// A node that has not registered is looked for soon at first, then less and less.
func TestDriver_Again(t *testing.T) {
	d := &Driver{}
	look := func(nodes ...node.Node) time.Duration {
		d.awaited, d.missing = d.missing, map[string]int64{} // as Read does
		for _, n := range nodes {
			if why := d.Differs(n, node.State{}, false); why != "" {
				t.Error(why)
			}
		}
		return d.Again()
	}
	a, b := node.Node{Name: "a.b", Up: true, Epoch: 1}, node.Node{Name: "b.b", Up: true, Epoch: 2}
	for i, step := range []struct {
		nodes []node.Node
		want  time.Duration
	}{
		{nil, 0}, {[]node.Node{a}, soon}, {[]node.Node{a}, 2 * soon}, {[]node.Node{a}, 4 * soon}, {[]node.Node{a}, 8 * soon}, {[]node.Node{a}, settle},
		{[]node.Node{a, b}, soon}, {[]node.Node{a, b}, 2 * soon}, {[]node.Node{a}, 4 * soon}, {nil, 0}, {[]node.Node{a}, soon},
	} {
		if got := look(step.nodes...); got != step.want {
			t.Errorf("%d: again after %v, want %v", i, got, step.want)
		}
	}
	if d.Waits(a, false) == "" || d.Waits(a, true) != "" || d.Waits(node.Node{Name: "a.b"}, false) != "" {
		t.Error("people are not told what is waited for")
	}
}

// What a node type cannot have is refused with words, and keeps no node away.
func TestDriver_Refuses(t *testing.T) {
	s := require.Slurm(t)
	d := &Driver{Tools: tool.Runner{Prefix: s.Prefix}}
	n := schedulertest.Node(1)
	other{s, t}.Prepare(n)
	n.Up, n.Epoch, n.Properties = true, 3, map[string]string{"besteffort": "YES"}
	const want = `cannot use the properties of node type "vnode": "besteffort" is no property of nodes of Slurm: they have features and weight`
	for turn, why := range []string{"of a former session", want, want} {
		all, err := d.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		is := all[n.Name]
		if got := d.Differs(n, is, true); !strings.Contains(got, why) {
			t.Errorf("turn %d: %s", turn, got)
		}
		if err := d.Apply(t.Context(), node.Change{Node: n, Found: true, Was: is}); fleet.CodeOf(err) != fleet.Invalid || err.Error() != want || fleet.HintOf(err) == "" {
			t.Errorf("turn %d: %v", turn, err)
		}
		if turn > 0 {
			d.Tools.Prefix = []string{"/does/not/exist"} // it is not told twice
			if err := d.Apply(t.Context(), node.Change{Node: n, Found: true, Was: is}); fleet.CodeOf(err) != fleet.Invalid {
				t.Error(err)
			}
			d.Tools.Prefix = s.Prefix
			if !is.Up || is.Epoch != 3 {
				t.Errorf("%+v", is)
			}
		}
	}
	n.Up = false
	if why := d.Differs(n, node.State{Up: true, Word: "IDLE+DYNAMIC_NORM", Epoch: 3}, true); why != "is IDLE+DYNAMIC_NORM and has no tunnel" {
		t.Error(why)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("NodeName=vnode-7-9.grid.test Arch=x86_64 NodeAddr=10.134.7.9 State=DOWN+DYNAMIC_NORM Reason=tunnel-down [root@2026-11-29T17:28:36] Comment=cn=c Extra=epoch=7,ip=10.134.7.9\n")
	f.Add("No nodes in the system\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parse(text)
		if err != nil && all != nil {
			t.Error("nodes beside an error")
		}
		for name := range all {
			if name == "" || strings.ContainsAny(name, " \n") {
				t.Errorf("a node is called %q", name)
			}
		}
	})
}
