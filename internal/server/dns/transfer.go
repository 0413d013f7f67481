package dns

import (
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Key is a shared key of TSIG (RFC 8945).
type Key struct {
	Algorithm string // such as hmac-sha256
	Secret    string // base64
}

func (s *Server) secrets() map[string]string {
	all := map[string]string{}
	for name, k := range s.Keys {
		all[absolute(name)] = k.Secret
	}
	return all
}

// transfersOnce is how many transfers there are at a time: each is tens of
// thousands of records.
const transfersOnce = 4

// recordsEach is how many records a message of a transfer has; they fit.
const recordsEach = 200

// transfer answers AXFR, and IXFR as one, to whom it is allowed.
func (s *Server) transfer(w dns.ResponseWriter, q *dns.Msg, from netip.Addr, udp, signed bool) {
	b := s.book.Load()
	zone := plain(q.Question[0].Name)
	allowed := signed || slices.ContainsFunc(s.Transfer, func(p netip.Prefix) bool { return p.Contains(from) })
	ours := b != nil && q.Question[0].Qclass == dns.ClassINET && (zone == b.zone || slices.Contains(b.reverse, zone))
	refuse := func(code int) {
		s.refused.Add(1)
		m := new(dns.Msg)
		m.SetRcode(q, code)
		sign(m, q, signed)
		w.WriteMsg(m)
	}
	if !allowed || !ours {
		refuse(dns.RcodeRefused)
		return
	}
	if udp { // RFC 1995: the SOA alone says to come by TCP
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative = true
		m.Answer = []dns.RR{s.soa(b, zone)}
		sign(m, q, signed)
		w.WriteMsg(m)
		return
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	default:
		refuse(dns.RcodeServerFailure)
		return
	}
	var batch []dns.RR
	send := func() bool {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative, m.Compress, m.Answer = true, true, batch
		sign(m, q, signed)
		if w.WriteMsg(m) != nil {
			return false
		}
		w.TsigTimersOnly(true)
		batch = nil
		return true
	}
	for rr := range s.all(b, zone) {
		if batch = append(batch, rr); len(batch) == recordsEach && !send() {
			return
		}
	}
	send()
}

// all are the records of a zone, as a transfer has them.
func (s *Server) all(b *book, zone string) iter.Seq[dns.RR] {
	return func(yield func(dns.RR) bool) {
		at := func(name string) bool {
			rrs, _, _ := s.lookup(b, zone, name, absolute(name), netip.Addr{})
			for _, rr := range rrs {
				if !yield(rr) {
					return false
				}
			}
			return true
		}
		if !at(zone) {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(b.names)) {
			if zone == b.zone && name != zone && !at(name) {
				return
			}
		}
		for _, p := range b.plans {
			if zone != b.zone && !slices.Contains(node.ReverseZones(p.Prefix()), zone) {
				continue
			}
			for a := range p.All() {
				name, _ := p.Name(a)
				if zone != b.zone {
					name = node.ReverseName(a)
				} else if _, other := b.names[name]; other {
					continue
				}
				if under(name, zone) && !at(name) {
					return
				}
			}
		}
		for _, a := range slices.SortedFunc(maps.Keys(b.back), netip.Addr.Compare) {
			name := node.ReverseName(a)
			planned := slices.ContainsFunc(b.plans, func(p Plan) bool { return p.Has(a) })
			if zone != b.zone && !planned && under(name, zone) && !at(name) {
				return
			}
		}
		yield(s.soa(b, zone))
	}
}

// connectionsOnce is how many connections by TCP are open at a time; further
// ones wait.
const connectionsOnce = 128

// limited is a listener with so many places.
type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimited(l net.Listener) net.Listener {
	return &limited{Listener: l, places: make(chan struct{}, connectionsOnce), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
