package node_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

func plan(t testing.TB, addressRange, pattern string) *node.Plan {
	p, err := node.NewPlan(addressRange, pattern, "grid.example.org")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlan_Seed(t *testing.T) {
	p := plan(t, "10.134.0.0/16", "vnode-{a}-{b}")
	for name, address := range map[string]string{"vnode-7-38": "10.134.7.38", "vnode-2-98": "10.134.2.98", "vnode-0-2": "10.134.0.2", "vnode-255-254": "10.134.255.254", "vnode-1-0": "10.134.1.0"} {
		a := netip.MustParseAddr(address)
		if got, ok := p.Name(a); !ok || got != name+".grid.example.org" {
			t.Errorf("%s is called %q, %t", address, got, ok)
		}
		if got, ok := p.Address(name + ".grid.example.org"); !ok || got != a {
			t.Errorf("%s is at %v, %t", name, got, ok)
		}
	}
	for _, bad := range []string{"vnode-07-38", "vnode-7-256", "vnode-7-", "vnode-7", "vnode-0-0", "vnode-0-1", "vnode-255-255", "vnode-7-38x", "xvnode-7-38", "vnode--7-38", "vnode-7-1000", "vnode-+7-38"} {
		if a, ok := p.Address(bad + ".grid.example.org"); ok {
			t.Errorf("%s is at %v", bad, a)
		}
	}
	if _, ok := p.Address("vnode-7-38.example.org"); ok {
		t.Error("another domain's name is ours")
	}
	if n := len(slices.Collect(p.All())); n != p.Room() || n != 65533 {
		t.Errorf("%d addresses, room for %d", n, p.Room())
	}
}

// Name and Address are inverse to each other, on every range and pattern.
func TestPlan_Bijection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(2, 16).Draw(t, "bits")
		base := rapid.SampledFrom([]string{"10.134.0.0", "192.168.77.128", "fd00:1:2::"}).Draw(t, "base")
		addr := netip.MustParseAddr(base)
		prefix := netip.PrefixFrom(addr, addr.BitLen()-bits).Masked()
		pattern := rapid.SampledFrom([]string{"vnode-{a}-{b}", "n{a}x{b}", "b{b}-of-{a}", "v6-a{a}-{b}z"}).Draw(t, "pattern")
		p, err := node.NewPlan(prefix.String(), pattern, "grid.example.org")
		if err != nil {
			t.Fatal(err)
		}
		b := prefix.Addr().AsSlice()
		n := rapid.IntRange(0, 1<<bits-1).Draw(t, "n")
		b[len(b)-1] |= byte(n)
		b[len(b)-2] |= byte(n >> 8)
		a, _ := netip.AddrFromSlice(b)
		name, ok := p.Name(a)
		if ok != (n > 1 && n < 1<<bits-1) {
			t.Fatalf("%v has the name %q, %t", a, name, ok)
		}
		if !ok {
			return
		}
		if back, ok := p.Address(name); !ok || back != a {
			t.Fatalf("%v is %s is %v", a, name, back)
		}
		if back, ok := node.ReverseAddress(node.ReverseName(a)); !ok || back != a {
			t.Fatalf("%v is %s is %v", a, node.ReverseName(a), back)
		}
		in := 0
		for _, zone := range node.ReverseZones(prefix) {
			if strings.HasSuffix(node.ReverseName(a), "."+zone) {
				in++
			}
		}
		if in != 1 {
			t.Fatalf("%s is in %d of the zones %v", node.ReverseName(a), in, node.ReverseZones(prefix))
		}
	})
}

// What is read as a name is printed back as it was.
func FuzzPlan_Address(f *testing.F) {
	p := plan(f, "10.134.0.0/16", "vnode-{a}-{b}")
	f.Add("vnode-7-38.grid.example.org", "38.7.134.10.in-addr.arpa")
	f.Add("vnode-007-38.grid.example.org", "0.0.0.0.ip6.arpa")
	f.Fuzz(func(t *testing.T, name, reverse string) {
		if a, ok := p.Address(name); ok {
			if back, ok := p.Name(a); !ok || back != name {
				t.Errorf("%q is %v is %q", name, a, back)
			}
		}
		if a, ok := node.ReverseAddress(reverse); ok && node.ReverseName(a) != reverse {
			t.Errorf("%q is %v", reverse, a)
		}
	})
}

func TestPlan_Refuses(t *testing.T) {
	for _, c := range [][3]string{
		{"10.134.0.0/15", "n-{a}-{b}", "d.org"}, {"10.134.1.0/16", "n-{a}-{b}", "d.org"}, {"10.134.0.0/31", "n-{a}-{b}", "d.org"},
		{"10.134.0.0/16", "n-{b}", "d.org"}, {"10.134.0.0/16", "n-{a}{b}", "d.org"}, {"10.134.0.0/16", "n-{a}-{b}1", "d.org"}, {"10.134.0.0/16", "n-{a}-{b}-{b}", "d.org"},
		{"10.134.0.0/16", "{a}-{b}", "d.org"}, {"10.134.0.0/16", "n-{a}-{b}-", "d.org"}, {"10.134.0.0/16", "n.{a}-{b}", "d.org"}, {"10.134.0.0/16", "n-{a}-{b};x", "d.org"},
		{"10.134.0.0/16", "n-{a}-{b}", ""}, {"10.134.0.0/16", "n-{a}-{b}", "D.org"}, {"10.134.0.0/16", "n-{a}-{b}", "d.org."}, {"10.134.0.0/16", "n-{a}-{b}", "d..org"},
		{"::ffff:10.1.0.0/112", "n-{a}-{b}", "d.org"}, {"fd00::/64", "n-{a}-{b}", "d.org"}, {"", "n-{a}-{b}", "d.org"},
	} {
		if _, err := node.NewPlan(c[0], c[1], c[2]); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestReverseZones(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.134.0.0/16": "134.10.in-addr.arpa", "10.134.7.0/24": "7.134.10.in-addr.arpa", "10.134.7.64/26": "7.134.10.in-addr.arpa",
		"10.134.6.0/23": "6.134.10.in-addr.arpa 7.134.10.in-addr.arpa", "fd00::/124": "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
	} {
		if got := strings.Join(node.ReverseZones(netip.MustParsePrefix(prefix)), " "); got != want {
			t.Errorf("%s: %s", prefix, got)
		}
	}
}

func TestCheck(t *testing.T) {
	vnode := fleet.NodeType{ID: "vnode", AddressRange: "10.134.0.0/16", Domain: "d.org"}
	with := func(change func(*fleet.NodeType)) fleet.NodeType {
		n := fleet.NodeType{ID: "other", AddressRange: "10.135.0.0/16", Domain: "d.org"}
		change(&n)
		return n
	}
	slurm := func(properties ...string) fleet.NodeType {
		return fleet.NodeType{ID: "other", Scheduler: "slurm", Properties: properties}
	}
	for name, c := range map[string]struct {
		n    fleet.NodeType
		want fleet.Code
	}{
		"beside":          {with(func(n *fleet.NodeType) {}), ""},
		"same plan":       {with(func(n *fleet.NodeType) { n.AddressRange, n.NamePattern = vnode.AddressRange, "vnode-{a}-{b}" }), ""},
		"overlap":         {with(func(n *fleet.NodeType) { n.AddressRange = "10.134.7.0/24" }), fleet.Conflict},
		"name twice":      {with(func(n *fleet.NodeType) { n.NamePattern = "vnode-{b}-{a}" }), fleet.Conflict},
		"name by a digit": {with(func(n *fleet.NodeType) { n.AddressRange, n.NamePattern = "10.135.1.0/24", "vnode-9-{b}" }), fleet.Conflict},
		"other domain":    {with(func(n *fleet.NodeType) { n.NamePattern, n.Domain = "vnode-{a}-{b}", "e.org" }), ""},
		"no addresses":    {fleet.NodeType{ID: "other"}, ""},
		"pattern alone":   {fleet.NodeType{ID: "other", NamePattern: "n-{a}-{b}"}, fleet.Invalid},
		"route":           {with(func(n *fleet.NodeType) { n.Routes = []string{"10.0.0.1/8"} }), fleet.Invalid},
		"route text":      {with(func(n *fleet.NodeType) { n.Routes = []string{"10.0.0.0/8\nup x"} }), fleet.Invalid},
		"dns":             {with(func(n *fleet.NodeType) { n.DNSServers = []string{"ns.d.org"} }), fleet.Invalid},
		"dns of nobody":   {with(func(n *fleet.NodeType) { n.DNSServers = []string{"0.0.0.0"} }), fleet.Invalid},
		"dns of many":     {with(func(n *fleet.NodeType) { n.DNSServers = []string{"224.0.0.251"} }), fleet.Invalid},
		"search":          {with(func(n *fleet.NodeType) { n.SearchDomain = "a b" }), fleet.Invalid},
		"property":        {with(func(n *fleet.NodeType) { n.Properties = []string{"a='; drop"} }), fleet.Invalid},
		"property twice":  {with(func(n *fleet.NodeType) { n.Properties = []string{"a=1", "a=2"} }), fleet.Invalid},
		"properties":      {with(func(n *fleet.NodeType) { n.Properties = []string{"besteffort=YES", "cluster=vnode"} }), ""},
		"of Slurm":        {slurm("features=gpu+fast", "weight=7"), ""},
		"not of Slurm":    {slurm("besteffort=YES"), fleet.Invalid},
		"partition":       {slurm("partition=gpu"), fleet.Invalid},
		"no feature":      {slurm("features="), fleet.Invalid},
		"bad feature":     {slurm("features=gpu+9"), fleet.Invalid},
		"feature twice":   {slurm("features=gpu+gpu"), fleet.Invalid},
		"weight":          {slurm("weight=-1"), fleet.Invalid},
		"weight as is":    {slurm("weight=07"), fleet.Invalid},
	} {
		err := node.Check(c.n, []fleet.NodeType{vnode})
		if err == nil && c.want != "" || err != nil && fleet.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDiffers(t *testing.T) {
	a, b := netip.MustParseAddr("10.134.7.38"), netip.MustParseAddr("10.134.7.39")
	up, down := node.Node{Address: a, Up: true, Epoch: 5}, node.Node{Address: a, Epoch: 5}
	for name, c := range map[string]struct {
		n       node.Node
		s       node.State
		found   bool
		differs bool
	}{
		"new":           {up, node.State{}, false, true},
		"never up":      {down, node.State{}, false, false},
		"right":         {up, node.State{Up: true, Address: a, Epoch: 5}, true, false},
		"right, no mem": {up, node.State{Up: true}, true, false},
		"address":       {up, node.State{Up: true, Address: b, Epoch: 5}, true, true},
		"left":          {down, node.State{Up: true, Epoch: 5}, true, true},
		"back":          {up, node.State{Epoch: 4}, true, true},
		"its own doing": {up, node.State{Epoch: 5, Word: "Suspected"}, true, false},
		"new session":   {up, node.State{Up: true, Epoch: 4}, true, true},
		"down already":  {down, node.State{Epoch: 3}, true, false},
	} {
		if got := node.Differs(c.n, c.s, c.found); (got != "") != c.differs {
			t.Errorf("%s: %q", name, got)
		}
	}
}
