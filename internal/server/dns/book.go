package dns

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// book is all names at one time. It is not changed after it was written.
type book struct {
	zone    string
	reverse []string // zones, the longest first
	plans   []Plan
	names   map[string]entry       // of the configuration and of hosts
	inner   map[string]bool        // names that are there because others lie below
	up      map[netip.Addr]bool    // addresses of nodes that are
	at      map[netip.Addr]*Node   // nodes by tunnel address
	near    map[netip.Addr][]*Node // nodes whose neighbours are told so, by LAN address
	back    map[netip.Addr]string
	taken   []Taken
	digest  [sha256.Size]byte
	serial  uint32
}

// entry is what stands at a name that no plan makes.
type entry struct {
	addresses []netip.Addr
	alias     string
	node      *Node // whose name it is, if it is a host's
	ttl       uint32
}

// Taken is a name that two want.
type Taken struct {
	Name string
	By   string // who has it
	Not  string // who does not
}

func (s *Server) write(d Data) *book {
	b := &book{zone: s.Zone, names: map[string]entry{}, inner: map[string]bool{}, up: map[netip.Addr]bool{},
		at: map[netip.Addr]*Node{}, near: map[netip.Addr][]*Node{}, back: map[netip.Addr]string{}}
	for _, p := range d.Plans {
		if !under(p.Domain(), s.Zone) {
			continue // another server's
		}
		if slices.ContainsFunc(b.plans, func(q Plan) bool { return *q.Plan == *p.Plan }) {
			i := slices.IndexFunc(b.plans, func(q Plan) bool { return *q.Plan == *p.Plan })
			b.plans[i].KeepDead = b.plans[i].KeepDead || p.KeepDead
			continue
		}
		b.plans = append(b.plans, p)
		b.within(p.Domain())
		for _, zone := range node.ReverseZones(p.Prefix()) {
			if !slices.Contains(b.reverse, zone) {
				b.reverse = append(b.reverse, zone)
			}
		}
	}
	slices.SortFunc(b.reverse, func(x, y string) int { return cmp.Or(len(y)-len(x), cmp.Compare(x, y)) })
	for _, name := range slices.Sorted(maps.Keys(s.Names)) {
		if b.add(name, entry{addresses: s.Names[name], ttl: restTTL}, "the configuration") {
			for _, a := range s.Names[name] {
				if b.back[a] == "" {
					b.back[a] = name
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Aliases)) {
		b.add(name, entry{alias: s.Aliases[name], ttl: restTTL}, "an alias of the configuration")
	}
	nodes := slices.SortedFunc(slices.Values(d.Nodes), func(x, y Node) int { return cmp.Compare(x.HostID, y.HostID) })
	for i := range nodes {
		n := &nodes[i]
		b.at[n.Address] = n
		for _, p := range n.LAN {
			if n.LanDirect && n.Up {
				b.near[p.At.Addr()] = append(b.near[p.At.Addr()], n)
			}
		}
		if n.Resolves {
			b.up[n.Address] = true
		}
		if !under(n.HostID, s.Zone) || n.HostID == n.Name {
			continue
		}
		if a, planned := b.planned(n.HostID); planned && a != n.Address {
			b.taken = append(b.taken, Taken{n.HostID, "the plan, for " + a.String(), "host " + n.HostID})
			continue
		}
		b.add(n.HostID, entry{node: n, ttl: nodeTTL}, "host "+n.HostID)
	}
	b.digest = b.sum()
	return b
}

// add takes a name for an entry, if nobody has it.
func (b *book) add(name string, e entry, who string) bool {
	if _, taken := b.names[name]; taken {
		b.taken = append(b.taken, Taken{name, "the configuration", who})
		return false
	}
	if a, planned := b.planned(name); planned && e.node == nil {
		b.taken = append(b.taken, Taken{name, who, "the plan, for " + a.String()})
	}
	if !under(name, b.zone) {
		return false
	}
	b.names[name] = e
	b.within(name)
	return true
}

// within notes the names between one and the zone.
func (b *book) within(name string) {
	for name != b.zone {
		b.inner[name] = true
		name = parent(name)
	}
}

// planned is the address that the plans give a name.
func (b *book) planned(name string) (netip.Addr, bool) {
	for _, p := range b.plans {
		if a, ok := p.Address(name); ok {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// resolves tells whether a planned address is answered.
func (b *book) resolves(a netip.Addr) bool {
	if b.up[a] {
		return true
	}
	if b.at[a] != nil { // its type says that it does not
		return false
	}
	return slices.ContainsFunc(b.plans, func(p Plan) bool { return p.KeepDead && p.Has(a) })
}

// nameOf is the name of an address, for the reverse zones.
func (b *book) nameOf(a netip.Addr) (name string, ttl uint32, ok bool) {
	for _, p := range b.plans {
		if name, ok := p.Name(a); ok {
			if _, other := b.names[name]; !other {
				return name, nodeTTL, b.resolves(a)
			}
		}
	}
	name = b.back[a]
	return name, restTTL, name != ""
}

// sum tells books apart that answer differently, apart from views.
func (b *book) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range b.plans {
		first, _ := p.Name(p.At(0))
		fmt.Fprintln(h, "plan", p.Prefix(), first, p.Domain(), p.KeepDead)
	}
	for _, name := range slices.Sorted(maps.Keys(b.names)) {
		e := b.names[name]
		fmt.Fprintln(h, name, e.addresses, e.alias, e.node != nil && e.node.Resolves)
		if e.node != nil {
			fmt.Fprintln(h, e.node.Address)
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(b.at), netip.Addr.Compare) {
		fmt.Fprintln(h, "at", a, b.up[a])
	}
	copy(sum[:], h.Sum(nil))
	return sum
}

// Records are the names that are not there by a plan alone: those of nodes, of
// hosts and of the configuration, and names that two want.
func (s *Server) Records() []node.Record {
	b := s.book.Load()
	records := []node.Record{}
	if b == nil {
		return records
	}
	for a, n := range b.at {
		if _, other := b.names[n.Name]; b.resolves(a) && !other && under(n.Name, b.zone) {
			records = append(records, node.Record{Name: n.Name, Type: kindOf(a), Value: a.String(), TTL: nodeTTL, Of: "node " + n.HostID},
				node.Record{Name: node.ReverseName(a), Type: "PTR", Value: n.Name, TTL: nodeTTL, Of: "node " + n.HostID})
		}
	}
	for name, e := range b.names {
		switch {
		case e.alias != "":
			records = append(records, node.Record{Name: name, Type: "CNAME", Value: e.alias, TTL: int64(e.ttl), Of: "configuration"})
		case e.node != nil && e.node.Resolves:
			records = append(records, node.Record{Name: name, Type: kindOf(e.node.Address), Value: e.node.Address.String(), TTL: int64(e.ttl), Of: "host " + e.node.HostID})
		}
		for _, a := range e.addresses {
			records = append(records, node.Record{Name: name, Type: kindOf(a), Value: a.String(), TTL: int64(e.ttl), Of: "configuration"})
		}
	}
	for _, t := range b.taken {
		records = append(records, node.Record{Name: t.Name, Of: t.Not, Problem: "taken by " + t.By})
	}
	records = append(records, b.views()...)
	slices.SortFunc(records, func(x, y node.Record) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.For, y.For), cmp.Compare(x.Type, y.Type), cmp.Compare(x.Value, y.Value))
	})
	return records
}

func kindOf(a netip.Addr) string {
	if a.Is4() {
		return "A"
	}
	return "AAAA"
}
