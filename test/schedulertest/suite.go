// Package schedulertest is what every scheduler's driver must do, over the real
// scheduler.
package schedulertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/test/require"
)

// Driver is what package presence asks of a driver.
type Driver interface {
	Read(ctx context.Context) (map[string]node.State, error)
	Apply(ctx context.Context, c node.Change) error
	Differs(want node.Node, is node.State, found bool) string
}

// Other is the other side.
type Other interface {
	// Driver is a new one, as after a restart of the server.
	Driver() Driver
	// Prepare does what a node itself does with the scheduler, if anything.
	Prepare(n node.Node)
	// Restart restarts the scheduler.
	Restart()
	// Properties are what a node type may have there, by keys that Read shows: at
	// first, and later.
	Properties() [2]map[string]string
}

type suite struct {
	testing.TB
	other Other
	d     Driver
}

// Run runs the suite. The scheduler may hold other nodes.
func Run(t *testing.T, other Other) {
	s := &suite{t, other, other.Driver()}
	begun := time.Now()
	step := func(name string) { t.Logf("%6.2f s %s", time.Since(begun).Seconds(), name) }

	a, b := Node(1), Node(2)
	s.settle(a) // never up: nothing is there
	if _, found := s.read()[a.Name]; found {
		t.Error("a node that was never up is there")
	}
	other.Prepare(a)
	other.Prepare(b)
	up(&a)
	s.settle(a)
	step("added")
	up(&b)
	s.settle(b)
	s.nothingNew(a, b)
	s.is(a, true)
	a.ClientName = "renamed.example.org"
	s.settle(a)
	s.is(a, true)
	step("another property")

	a.Up = false
	s.settle(a)
	s.is(a, false)
	s.is(b, true)
	s.nothingNew(a, b)
	before := len(s.read())
	up(&a)
	s.settle(a)
	s.is(a, true)
	if after := len(s.read()); after != before {
		t.Errorf("a node that came back made %d nodes of %d", after, before)
	}
	step("down and back")

	s.d = other.Driver()
	s.nothingNew(a, b)
	other.Restart()
	s.nothingNew(a, b)
	step("restarts of both sides")

	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 10 {
		if a.Up = !a.Up; a.Up {
			a.Epoch++
		}
		if rnd.IntN(3) > 0 { // not every change gets its turn
			s.apply(a)
		}
		if i == 5 {
			other.Restart()
		}
	}
	s.settle(a)
	s.is(a, a.Up)
	s.is(b, true)
	step("flapped")

	gone := node.Node{Name: b.Name}
	if err := s.d.Apply(s.Context(), node.Change{Node: gone, Found: true, Was: s.read()[b.Name], Gone: true}); err != nil {
		t.Error(err)
	}
	require.Until(t, "a node that is none is down", func() bool { return !s.read()[b.Name].Up })
	s.hostile(a)
	s.settle(a)
	step("hostile values")
	s.properties(a)
	step("properties of the node type")
}

// properties: those of the node type are there in its nodes' next session, change
// with the type, and are there again after a restart of the scheduler.
func (s *suite) properties(n node.Node) {
	s.Helper()
	for _, all := range s.other.Properties() {
		n.Properties = all
		up(&n)
		s.settle(n)
		s.other.Restart() // Slurm forgets weights by it
		s.settle(n)
		is := s.read()[n.Name]
		for key, value := range all {
			if is.Properties[key] != value {
				s.Errorf("the property %s is %q, and shall be %q", key, is.Properties[key], value)
			}
		}
		s.nothingNew(n)
	}
}

// Node is the i-th node of the suite.
func Node(i byte) node.Node {
	return node.Node{HostID: fmt.Sprintf("client%d.grid.test", i), Name: fmt.Sprintf("vnode-7-%d.grid.test", i), Address: netip.AddrFrom4([4]byte{10, 134, 7, i}), NodeType: "vnode"}
}

func up(n *node.Node) {
	n.Up, n.Epoch = true, n.Epoch+10
	n.ConnectedSince = time.Unix(1_800_000_000+n.Epoch, 0).UTC()
	n.ClientAddress, n.ClientName = netip.MustParseAddr("192.0.2.7"), "client.example.org"
}

func (s *suite) read() map[string]node.State {
	s.Helper()
	all, err := s.d.Read(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// apply is what package presence does once.
func (s *suite) apply(n node.Node) (why string) {
	s.Helper()
	is, found := s.read()[n.Name]
	if why = s.d.Differs(n, is, found); why != "" {
		if err := s.d.Apply(s.Context(), node.Change{Node: n, Found: found, Was: is, Why: why}); err != nil {
			s.Logf("%s: %v", why, err)
		}
	}
	return why
}

func (s *suite) settle(n node.Node) {
	s.Helper()
	why := ""
	late := time.Now().Add(50 * time.Second)
	require.Until(s, n.Name+" is as it shall be", func() bool {
		if why = s.apply(n); why != "" && time.Now().After(late) {
			s.Errorf("%s still differs: %s", n.Name, why)
		}
		return why == ""
	})
}

func (s *suite) nothingNew(nodes ...node.Node) {
	s.Helper()
	all := s.read()
	for _, n := range nodes {
		is, found := all[n.Name]
		if why := s.d.Differs(n, is, found); why != "" {
			s.Errorf("%s shall be changed, and was not: %s (%+v)", n.Name, why, is)
		}
	}
}

func (s *suite) is(n node.Node, up bool) {
	s.Helper()
	if is := s.read()[n.Name]; is.Up != up {
		s.Errorf("%s is %q, and shall be up: %t", n.Name, is.Word, up)
	}
}

// Hostile are values that shall do nothing anywhere.
var Hostile = []string{"x' OR 'a'='a", "a'b", `a"b`, `a\b`, "$(touch /tmp/pwned)", "`touch /tmp/pwned`", "a\nb", "a\x00b", "\x1b[31mred", "a=b", "--sql=1", "<script>", strings.Repeat("x", 300)}

// hostile: whatever is refused is refused before anything is changed.
func (s *suite) hostile(there node.Node) {
	s.Helper()
	all := s.read()
	before := len(all)
	up(&there)
	for i, value := range Hostile {
		c := node.Change{Node: there, Found: true, Was: all[there.Name]}
		c.Node.ClientName = value // somebody else's name server says it: told as unknown
		if err := s.d.Apply(s.Context(), c); err != nil {
			s.Errorf("client name %q: %v", value, err)
		}
		n := Node(byte(100 + i))
		up(&n)
		for what, change := range map[string]func(n *node.Node){
			"name":     func(n *node.Node) { n.Name = value },
			"host":     func(n *node.Node) { n.HostID = value },
			"type":     func(n *node.Node) { n.NodeType = value },
			"property": func(n *node.Node) { n.Properties = map[string]string{"gpu": value} },
			"key":      func(n *node.Node) { n.Properties = map[string]string{value: "x"} },
		} {
			if value == "--sql=1" && what == "property" {
				continue // a value may begin with a dash: it stands after its key
			}
			c := node.Change{Node: n}
			change(&c.Node)
			if err := s.d.Apply(s.Context(), c); fleet.CodeOf(err) != fleet.Invalid {
				s.Errorf("%s %q: %v", what, value, err)
			}
		}
	}
	if after := len(s.read()); after != before {
		s.Errorf("hostile values made %d nodes of %d", after, before)
	}
}
