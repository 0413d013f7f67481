// Package dns answers for the names of nodes: one zone, and the reverse zones of
// the address ranges in it. It is authoritative for these and for nothing else;
// it asks nobody, so what is foreign is refused.
//
// # Names
//
// The name of every virtual address is there before anybody has it, as in the
// seed's zone file: vnode-7-38 is 10.134.7.38, computed, not kept (package
// fleet/node). Beside these stand the names of hosts that are nodes, and the
// names and aliases of the configuration. A name is one thing only: what is taken
// stays, in the order configuration, plan, hosts, and the other is left out and
// reported ([Server.Records]).
//
// Names of nodes live 30 seconds in caches, so that one that has died or moved is
// soon known. Whether a node that is down still resolves its type says.
//
// # Views
//
// Who asks through a tunnel comes from a tunnel address, so it is known which node
// asks. Where the type of the node asked for says so, and both are in one network
// (package lan in fleet says when that is), the answer is the LAN address: neighbours
// talk directly. An address that two nodes tell is answered to nobody. Nothing else is
// known of a network but what its nodes report, so the name only says where to try; who
// answers there shows its key.
//
// The reverse name is the same too: a neighbour that asks for the name of a LAN address
// gets it, although the zone is not ours. To anybody else such a question is foreign.
//
// What a neighbour is told lives five seconds in caches, for nodes move, and then the
// LAN address leads nowhere while that in the tunnel would.
//
// # What answers are made of
//
// [Server.Load] makes a book of all names out of what the server hands in; it is
// never changed, and answers read it without a lock. A database that is away
// makes answers old, not absent. Messages are small: no more than 1,232 bytes by
// UDP, and ANY gets one record (RFC 8482).
package dns

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/fernwerk/fernwerk/internal/fleet/lan"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Times to live, in seconds.
const (
	nodeTTL = 30   // of what a node's coming and going changes, and of its absence
	viewTTL = 5    // of what neighbours are told, and nobody else
	restTTL = 3600 // of the configuration's names
)

// Node is a node as names want it.
type Node struct {
	node.Node
	LAN       []lan.Place // where it is beside its tunnels
	LanDirect bool        // neighbours may be told that
}

// Data is what names are made of, apart from the configuration.
type Data struct {
	Plans []Plan
	Nodes []Node
}

// Plan is the plan of a node type.
type Plan struct {
	*node.Plan
	// KeepDead has names resolve whether or not their node is up.
	KeepDead bool
}

// Config is what a server of names is told.
type Config struct {
	Zone string // without a dot at the end, in lower case
	// Nameservers are fully qualified; the first is the primary one.
	Nameservers []string
	Contact     string                  // mail address of who is in charge
	Names       map[string][]netip.Addr // fully qualified
	Aliases     map[string]string       // fully qualified, both
	// Transfer says who may transfer a zone, besides who signs with a key of Keys.
	Transfer []netip.Prefix
	Keys     map[string]Key // by name, without a dot at the end

	// Load reads the data; Changed wakes for another look.
	Load    func(context.Context) (Data, error)
	Changed <-chan struct{}

	UDP net.PacketConn
	TCP net.Listener
	Log *slog.Logger
	Now func() time.Time
}

// Server answers.
type Server struct {
	Config
	book    atomic.Pointer[book]
	writing sync.Mutex // of the book
	answers atomic.Int64
	refused atomic.Int64
	turns   chan struct{} // of transfers
}

// New makes a server that refuses everything until Load was called.
func New(c Config) *Server {
	s := &Server{Config: c, turns: make(chan struct{}, transfersOnce)}
	s.Contact = cmp.Or(c.Contact, "hostmaster@"+c.Zone)
	if len(s.Nameservers) == 0 {
		s.Nameservers = []string{"ns." + c.Zone}
	}
	return s
}

// Counted are the answers since the start, and those of them that were refusals.
func (s *Server) Counted() (answers, refused int64) { return s.answers.Load(), s.refused.Load() }

const (
	soonest = 500 * time.Millisecond // between two looks
	latest  = 15 * time.Second       // for what nobody wakes for
	idle    = 10                     // times as long as a look took nobody looks again
)

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	if err := s.Reload(ctx); err != nil {
		s.Log.Warn("Names are read later", "error", err)
	}
	handler := dns.HandlerFunc(s.serve)
	servers := []*dns.Server{
		{PacketConn: s.UDP, Handler: handler, UDPSize: dns.DefaultMsgSize, TsigSecret: s.secrets(), MsgAcceptFunc: accept},
		{Listener: newLimited(s.TCP), Handler: handler, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second,
			IdleTimeout: func() time.Duration { return 10 * time.Second }, MaxTCPQueries: 200, TsigSecret: s.secrets(), MsgAcceptFunc: accept},
	}
	ended := make(chan error, len(servers))
	for _, srv := range servers {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		failed := make(chan error, 1)
		go func() {
			err := srv.ActivateAndServe()
			failed <- err
			ended <- err
		}()
		select {
		case <-started: // Shutdown of one that has not started does nothing
		case err := <-failed:
			failed <- err
		}
	}
	err := s.follow(ctx, ended)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	for _, srv := range servers {
		srv.ShutdownContext(stopping) // it says so if it has not started
	}
	s.UDP.Close()
	s.TCP.Close()
	return err
}

// follow looks again when something changed, until ctx ends.
func (s *Server) follow(ctx context.Context, ended <-chan error) error {
	timer := time.NewTimer(latest)
	defer timer.Stop()
	last, rest := time.Now(), soonest
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("cannot answer DNS: %w", err)
		case <-s.Changed:
			if wait := rest - time.Since(last); wait > 0 {
				timer.Reset(wait)
				continue
			}
		case <-timer.C:
		}
		began := time.Now()
		if err := s.Reload(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("Names stay as they were", "error", err)
		}
		last = time.Now()
		rest = min(max(soonest, idle*last.Sub(began)), latest)
		timer.Reset(latest)
	}
}

// Reload makes the book anew. Its serial rises only if something is different.
func (s *Server) Reload(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	data, err := s.Load(ctx)
	if err != nil {
		return fmt.Errorf("cannot read names: %w", err)
	}
	next := s.write(data)
	serial := uint32(s.Now().Unix())
	var known []Taken
	if was := s.book.Load(); was != nil {
		known = was.taken
		switch {
		case was.digest == next.digest:
			serial = was.serial
		case int32(serial-was.serial) <= 0: // RFC 1982
			serial = was.serial + 1
		}
	}
	next.serial = serial
	s.book.Store(next) // also if only views have changed
	for _, t := range next.taken {
		if !slices.Contains(known, t) {
			s.Log.Warn("Name is taken", "name", t.Name, "by", t.By, "not", t.Not)
		}
	}
	return nil
}

// accept lets pass what [Server.reply] answers.
func accept(h dns.Header) dns.MsgAcceptAction {
	const response = 1 << 15
	switch {
	case h.Bits&response != 0:
		return dns.MsgIgnore
	case h.Qdcount != 1:
		return dns.MsgReject
	case h.Bits>>11&0xF != dns.OpcodeQuery:
		return dns.MsgRejectNotImplemented
	}
	return dns.MsgAccept
}

func (s *Server) serve(w dns.ResponseWriter, q *dns.Msg) {
	defer func() {
		if fault := recover(); fault != nil { // one question must not end the server
			s.Log.Error("DNS question failed", "fault", fault)
		}
	}()
	from := addressOf(w.RemoteAddr())
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	signed := q.IsTsig() != nil && w.TsigStatus() == nil
	s.answers.Add(1)
	if q.IsTsig() != nil && !signed {
		s.refused.Add(1)
		m := new(dns.Msg)
		w.WriteMsg(m.SetRcode(q, dns.RcodeNotAuth))
		return
	}
	if t := q.Question[0].Qtype; t == dns.TypeAXFR || t == dns.TypeIXFR {
		s.transfer(w, q, from, udp, signed)
		return
	}
	m := s.reply(q, from, udp)
	if m.Rcode == dns.RcodeRefused {
		s.refused.Add(1)
	}
	sign(m, q, signed)
	w.WriteMsg(m)
}

// sign has an answer signed as its question was; the writer does it.
func sign(m, q *dns.Msg, signed bool) {
	if t := q.IsTsig(); signed && t != nil {
		m.SetTsig(t.Hdr.Name, t.Algorithm, t.Fudge, time.Now().Unix())
	}
}

func addressOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// absolute and plain add and take away the dot at the end.
func absolute(name string) string { return name + "." }

func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// under tells whether a name is a zone's or lies below it.
func under(name, zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }
