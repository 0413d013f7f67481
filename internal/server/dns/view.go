package dns

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/fernwerk/fernwerk/internal/fleet/lan"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// view is a node's address for who asks: that in its LAN for its neighbours
// there, if its type has it so, else that of the tunnel. Who could be a neighbour
// before long keeps neither for long.
func (b *book) view(n *Node, from netip.Addr) (a netip.Addr, ttl uint32) {
	asker := b.at[from]
	if asker == nil || asker == n || !n.LanDirect || !n.Up || !asker.Up {
		return n.Address, nodeTTL
	}
	if p, ok := n.near(asker); ok {
		return p.At.Addr(), viewTTL
	}
	if n.ClientAddress.IsValid() && n.ClientAddress == asker.ClientAddress {
		return n.Address, viewTTL
	}
	return n.Address, nodeTTL
}

// near is where a node is for a neighbour. That others tell the neighbour's own
// address too does not take it out of its network.
func (n *Node) near(asker *Node) (lan.Place, bool) {
	for _, theirs := range n.LAN {
		if theirs.Disputed || theirs.At.Addr().Is4() != n.Address.Is4() {
			continue
		}
		if slices.ContainsFunc(asker.LAN, theirs.Near) {
			return theirs, true
		}
	}
	return lan.Place{}, false
}

// neighbour is the name of a LAN address for who asks from the same LAN; nil for
// whatever else is asked.
func (s *Server) neighbour(b *book, ask dns.Question, from netip.Addr) dns.RR {
	if b == nil || ask.Qclass != dns.ClassINET || ask.Qtype != dns.TypePTR {
		return nil
	}
	asker := b.at[from]
	a, ok := node.ReverseAddress(plain(ask.Name))
	if !ok || asker == nil || len(asker.LAN) == 0 {
		return nil
	}
	for _, n := range b.near[a] {
		if seen, _ := b.view(n, from); seen == a {
			if name, _, ok := b.nameOf(n.Address); ok {
				return &dns.PTR{Hdr: header(ask.Name, dns.TypePTR, viewTTL), Ptr: absolute(name)}
			}
		}
	}
	return nil
}

// views are the records that neighbours get, and addresses that two nodes tell.
func (b *book) views() (records []node.Record) {
	for _, n := range b.at {
		if !n.LanDirect || !n.Up || !under(n.Name, b.zone) {
			continue
		}
		for _, p := range n.LAN {
			if p.At.Addr().Is4() != n.Address.Is4() {
				continue
			}
			where := "in " + p.At.Masked().String()
			if p.From.IsValid() {
				where += " behind " + p.From.String()
			}
			r := node.Record{Name: n.Name, Type: kindOf(p.At.Addr()), Value: p.At.Addr().String(), TTL: viewTTL, Of: "node " + n.HostID, For: "nodes " + where}
			if p.Disputed {
				r.Problem = "told by another node too: answered to nobody"
			}
			records = append(records, r)
		}
	}
	return records
}
