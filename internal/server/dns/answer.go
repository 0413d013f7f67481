package dns

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// largest is what an answer by UDP may have: it passes every network unbroken.
const largest = 1232

// longest chain of aliases that is followed.
const chain = 8

// reply answers one question of an address.
func (s *Server) reply(q *dns.Msg, from netip.Addr, udp bool) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Compress = true
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		size = min(max(int(opt.UDPSize()), dns.MinMsgSize), largest)
		m.SetEdns0(largest, opt.Do())
		if opt.Version() != 0 {
			m.Rcode = dns.RcodeBadVers
			return m
		}
	}
	if q.Opcode != dns.OpcodeQuery {
		m.Rcode = dns.RcodeNotImplemented
		return m
	}
	if len(q.Question) != 1 {
		m.Rcode = dns.RcodeFormatError
		return m
	}
	ask := q.Question[0]
	b := s.book.Load()
	zone := ""
	if b != nil && ask.Qclass == dns.ClassINET {
		zone = b.zoneOf(plain(ask.Name))
	}
	if zone == "" {
		if rr := s.neighbour(b, ask, from); rr != nil {
			m.Answer = append(m.Answer, rr)
			return m
		}
		m.Rcode = dns.RcodeRefused
		return m
	}
	m.Authoritative = true
	s.fill(m, b, zone, ask, from)
	if udp {
		m.Truncate(size)
	} else {
		m.Truncate(dns.MaxMsgSize)
	}
	return m
}

// zoneOf is the zone of ours that a name is in, "" if there is none.
func (b *book) zoneOf(name string) string {
	if under(name, b.zone) {
		return b.zone
	}
	for _, zone := range b.reverse {
		if under(name, zone) {
			return zone
		}
	}
	return ""
}

// fill looks the name up, and follows aliases within our zones.
func (s *Server) fill(m *dns.Msg, b *book, zone string, ask dns.Question, from netip.Addr) {
	owner := ask.Name // as it was asked
	for range chain {
		name := plain(owner)
		rrs, alias, there := s.lookup(b, zone, name, owner, from)
		switch {
		case !there:
			m.Rcode = dns.RcodeNameError
			m.Ns = append(m.Ns, s.soa(b, zone))
			return
		case ask.Qtype == dns.TypeANY && len(rrs) > 0:
			m.Answer = append(m.Answer, &dns.HINFO{Hdr: header(owner, dns.TypeHINFO, nodeTTL), Cpu: "RFC8482"})
			return
		}
		fit := slices.DeleteFunc(slices.Clone(rrs), func(rr dns.RR) bool { return rr.Header().Rrtype != ask.Qtype })
		if m.Answer = append(m.Answer, fit...); len(fit) > 0 {
			return
		}
		if alias == "" {
			m.Ns = append(m.Ns, s.soa(b, zone))
			return
		}
		m.Answer = append(m.Answer, rrs...) // the alias itself
		if owner, zone = absolute(alias), b.zoneOf(alias); zone == "" {
			return // whoever asked goes on elsewhere
		}
	}
	m.Answer, m.Rcode = nil, dns.RcodeServerFailure
}

// lookup is all that stands at a name, and whether there is such a name.
func (s *Server) lookup(b *book, zone, name, owner string, from netip.Addr) (rrs []dns.RR, alias string, there bool) {
	if name == zone {
		rrs, there = append(rrs, s.soa(b, zone)), true
		for _, ns := range s.Nameservers {
			rrs = append(rrs, &dns.NS{Hdr: header(owner, dns.TypeNS, restTTL), Ns: absolute(ns)})
		}
	}
	if zone != b.zone {
		if a, ok := node.ReverseAddress(name); ok {
			if to, ttl, ok := b.nameOf(a); ok {
				return append(rrs, &dns.PTR{Hdr: header(owner, dns.TypePTR, ttl), Ptr: absolute(to)}), "", true
			}
			return rrs, "", there
		}
		return rrs, "", there || b.aboveReverse(name)
	}
	e, has := b.names[name]
	switch {
	case has && e.alias != "":
		return []dns.RR{&dns.CNAME{Hdr: header(owner, dns.TypeCNAME, e.ttl), Target: absolute(e.alias)}}, e.alias, true
	case has && e.node != nil:
		if e.node.Resolves {
			a, ttl := b.view(e.node, from)
			return append(rrs, record(owner, a, min(ttl, e.ttl))), "", true
		}
	case has:
		for _, a := range e.addresses {
			rrs = append(rrs, record(owner, a, e.ttl))
		}
		return rrs, "", true
	default:
		if a, planned := b.planned(name); planned && b.resolves(a) {
			ttl := uint32(nodeTTL)
			if n := b.at[a]; n != nil {
				a, ttl = b.view(n, from)
			}
			return append(rrs, record(owner, a, ttl)), "", true
		}
	}
	return rrs, "", there || b.inner[name] && !has
}

// aboveReverse tells whether a name in a reverse zone is above the name of an
// address of a plan: it is there, and has nothing.
func (b *book) aboveReverse(name string) bool {
	labels := strings.Split(name, ".")
	labels = labels[:len(labels)-2]
	slices.Reverse(labels)
	for _, p := range b.plans {
		a := p.Prefix().Addr()
		if a.Is4() != strings.HasSuffix(name, ".in-addr.arpa") {
			continue
		}
		raw, bits := a.AsSlice(), 8
		if !a.Is4() {
			bits = 4
		}
		if len(labels)*bits > a.BitLen() {
			continue
		}
		clear(raw)
		good := true
		for i, l := range labels {
			base := 10
			if bits == 4 {
				base = 16
			}
			v, err := strconv.ParseUint(l, base, bits)
			if err != nil || len(l) > 1 && l[0] == '0' {
				good = false
				break
			}
			raw[i*bits/8] |= byte(v) << (8 - bits - i*bits%8)
		}
		first, _ := netip.AddrFromSlice(raw)
		if good && netip.PrefixFrom(first, len(labels)*bits).Overlaps(p.Prefix()) {
			return true
		}
	}
	return false
}

func (s *Server) soa(b *book, zone string) dns.RR {
	local, domain, _ := strings.Cut(s.Contact, "@")
	return &dns.SOA{Hdr: header(absolute(zone), dns.TypeSOA, nodeTTL), Ns: absolute(s.Nameservers[0]), Mbox: strings.ReplaceAll(local, ".", `\.`) + "." + absolute(domain),
		Serial: b.serial, Refresh: 300, Retry: 60, Expire: 604800, Minttl: nodeTTL}
}

func header(owner string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func record(owner string, a netip.Addr, ttl uint32) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: net.IP(a.AsSlice())}
	}
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: net.IP(a.AsSlice())}
}

func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}
