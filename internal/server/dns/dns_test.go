package dns

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/fernwerk/fernwerk/internal/fleet/lan"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/test/require"
)

// world is what the server under test is handed.
type world struct {
	mu   sync.Mutex
	data Data
	now  time.Time
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

const secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"

func plan(t testing.TB, addressRange, pattern string, keep bool) Plan {
	p, err := node.NewPlan(addressRange, pattern, "grid.example.org")
	if err != nil {
		t.Fatal(err)
	}
	return Plan{p, keep}
}

func nodeAt(address, hostID string, p Plan, up bool) Node {
	name, _ := p.Name(ip(address))
	return Node{Node: node.Node{HostID: hostID, Name: name, Address: ip(address), Up: up, Resolves: up || p.KeepDead, ClientAddress: ip("192.0.2.7")}}
}

func places(from, at string) []lan.Place {
	return lan.Places(ip(from), []netip.Prefix{netip.MustParsePrefix(at)})
}

// newServer is a server over a small world, which it answers for.
func newServer(t testing.TB) (*Server, *world) {
	kept, shown, six := plan(t, "10.134.0.0/16", "vnode-{a}-{b}", true), plan(t, "10.135.7.0/24", "live-{b}", false), plan(t, "fd00:7::/112", "six-{a}-{b}", true)
	w := &world{now: time.Unix(1_800_000_000, 0)}
	near := nodeAt("10.134.7.38", "client1.grid.example.org", kept, true)
	near.LAN, near.LanDirect = places("192.0.2.7", "192.168.1.10/24"), true
	asker := nodeAt("10.134.7.39", "client2.grid.example.org", kept, true)
	asker.LAN = places("192.0.2.7", "192.168.1.11/24")
	clash := nodeAt("10.134.7.40", "client3.grid.example.org", kept, true) // the same network, at another site
	clash.LAN, clash.ClientAddress = places("198.51.100.9", "192.168.1.11/24"), ip("198.51.100.9")
	w.data = Data{Plans: []Plan{kept, shown, six}, Nodes: []Node{near, asker, clash,
		nodeAt("10.135.7.2", "client4.grid.example.org", shown, true), nodeAt("10.135.7.3", "client5.grid.example.org", shown, false),
		nodeAt("10.134.7.41", "vnode-9-9.grid.example.org", kept, true), // a host that calls itself as the plan calls another address
		nodeAt("10.134.7.42", "gateway.grid.example.org", kept, true),   // and one as the configuration calls a third
		nodeAt("fd00:7::102", "client6.grid.example.org", six, true),
	}}
	s := New(Config{Zone: "grid.example.org", Nameservers: []string{"ns1.grid.example.org"}, Contact: "first.last@example.org",
		Names:   map[string][]netip.Addr{"ns1.grid.example.org": {ip("10.134.0.1")}, "gateway.grid.example.org": {ip("10.134.0.1"), ip("fd00:7::1")}, "a.b.grid.example.org": {ip("192.0.2.1")}},
		Aliases: map[string]string{"www.grid.example.org": "vnode-7-38.grid.example.org", "out.grid.example.org": "www.example.net", "loop.grid.example.org": "loop.grid.example.org", "broken.grid.example.org": "nothing.grid.example.org"},
		Keys:    map[string]Key{"transfer": {"hmac-sha256", secret}},
		Load: func(context.Context) (Data, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.data, nil
		},
		Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)})
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, w
}

func ask(s *Server, name, kind, from string, change ...func(*dns.Msg)) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(name, dns.StringToType[kind])
	for _, c := range change {
		c(q)
	}
	return s.reply(q, ip(from), true)
}

// brief is an answer in a line.
func brief(m *dns.Msg) string {
	out := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		out = append(out, strings.Join(strings.Fields(rr.String())[3:], " "))
	}
	for _, rr := range m.Ns {
		out = append(out, "+"+dns.TypeToString[rr.Header().Rrtype])
	}
	return strings.Join(out, " | ")
}

func TestAnswers(t *testing.T) {
	s, _ := newServer(t)
	for _, c := range []struct{ name, kind, want string }{
		{"vnode-7-38.grid.example.org.", "A", "NOERROR | A 10.134.7.38"},
		{"VNode-7-38.GRID.example.org.", "A", "NOERROR | A 10.134.7.38"},
		{"vnode-2-98.grid.example.org.", "A", "NOERROR | A 10.134.2.98"}, // nobody's: declared all the same
		{"vnode-7-38.grid.example.org.", "AAAA", "NOERROR | +SOA"},
		{"vnode-07-38.grid.example.org.", "A", "NXDOMAIN | +SOA"},
		{"vnode-255-255.grid.example.org.", "A", "NXDOMAIN | +SOA"},
		{"live-2.grid.example.org.", "A", "NOERROR | A 10.135.7.2"},
		{"live-3.grid.example.org.", "A", "NXDOMAIN | +SOA"}, // down
		{"live-4.grid.example.org.", "A", "NXDOMAIN | +SOA"}, // nobody's
		{"client5.grid.example.org.", "A", "NXDOMAIN | +SOA"},
		{"six-1-2.grid.example.org.", "AAAA", "NOERROR | AAAA fd00:7::102"},
		{"client1.grid.example.org.", "A", "NOERROR | A 10.134.7.38"},
		{"client9.grid.example.org.", "A", "NXDOMAIN | +SOA"},
		{"38.7.134.10.in-addr.arpa.", "PTR", "NOERROR | PTR vnode-7-38.grid.example.org."},
		{"2.7.135.10.in-addr.arpa.", "PTR", "NOERROR | PTR live-2.grid.example.org."},
		{"3.7.135.10.in-addr.arpa.", "PTR", "NXDOMAIN | +SOA"},
		{"1.0.134.10.in-addr.arpa.", "PTR", "NOERROR | PTR gateway.grid.example.org."},
		{"7.134.10.in-addr.arpa.", "PTR", "NOERROR | +SOA"},
		{"77.7.7.134.10.in-addr.arpa.", "PTR", "NXDOMAIN | +SOA"},
		{"x.134.10.in-addr.arpa.", "PTR", "NXDOMAIN | +SOA"},
		{"134.10.in-addr.arpa.", "SOA", "NOERROR | SOA ns1.grid.example.org. first\\.last.example.org. 1800000000 300 60 604800 30"},
		{node.ReverseName(ip("fd00:7::102")) + ".", "PTR", "NOERROR | PTR six-1-2.grid.example.org."},
		{strings.Join(strings.Split(node.ReverseName(ip("fd00:7::102")), ".")[2:], ".") + ".", "PTR", "NOERROR | +SOA"},
		{"grid.example.org.", "SOA", "NOERROR | SOA ns1.grid.example.org. first\\.last.example.org. 1800000000 300 60 604800 30"},
		{"grid.example.org.", "NS", "NOERROR | NS ns1.grid.example.org."},
		{"grid.example.org.", "A", "NOERROR | +SOA"},
		{"gateway.grid.example.org.", "A", "NOERROR | A 10.134.0.1"},
		{"gateway.grid.example.org.", "AAAA", "NOERROR | AAAA fd00:7::1"},
		{"b.grid.example.org.", "A", "NOERROR | +SOA"}, // between
		{"c.b.grid.example.org.", "A", "NXDOMAIN | +SOA"},
		{"www.grid.example.org.", "A", "NOERROR | CNAME vnode-7-38.grid.example.org. | A 10.134.7.38"},
		{"www.grid.example.org.", "CNAME", "NOERROR | CNAME vnode-7-38.grid.example.org."},
		{"www.grid.example.org.", "MX", "NOERROR | CNAME vnode-7-38.grid.example.org. | +SOA"},
		{"out.grid.example.org.", "A", "NOERROR | CNAME www.example.net."},
		{"broken.grid.example.org.", "A", "NXDOMAIN | CNAME nothing.grid.example.org. | +SOA"},
		{"loop.grid.example.org.", "A", "SERVFAIL"},
		{"vnode-7-38.grid.example.org.", "ANY", "NOERROR | HINFO \"RFC8482\" \"\""},
		{"example.org.", "A", "REFUSED"}, {"www.example.net.", "A", "REFUSED"}, {".", "NS", "REFUSED"}, {"xgrid.example.org.", "A", "REFUSED"},
		{"1.2.0.192.in-addr.arpa.", "PTR", "REFUSED"}, {"10.in-addr.arpa.", "PTR", "REFUSED"},
	} {
		m := ask(s, c.name, c.kind, "203.0.113.5")
		if got := brief(m); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.name, c.kind, got, c.want)
		}
		if m.RecursionAvailable || m.Authoritative != (m.Rcode != dns.RcodeRefused) {
			t.Errorf("%s %s: recursion %t, authoritative %t", c.name, c.kind, m.RecursionAvailable, m.Authoritative)
		}
		if len(m.Answer) > 0 && m.Answer[0].Header().Name != c.name {
			t.Errorf("%s: the answer is of %s", c.name, m.Answer[0].Header().Name)
		}
	}
}

// Row 69, the part about a dead node and a name taken twice: what changes lives
// shortly, and the first who has a name keeps it.
func TestDeadNodeAndNameTakenTwice(t *testing.T) {
	s, w := newServer(t)
	if m := ask(s, "live-2.grid.example.org.", "A", "203.0.113.5"); m.Answer[0].Header().Ttl > 30 {
		t.Errorf("a node's name lives %d s", m.Answer[0].Header().Ttl)
	}
	serial := s.book.Load().serial
	w.mu.Lock()
	w.data.Nodes[3].Up, w.data.Nodes[3].Resolves = false, false
	w.mu.Unlock()
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := ask(s, "live-2.grid.example.org.", "A", "203.0.113.5")
	if soa, ok := m.Ns[0].(*dns.SOA); m.Rcode != dns.RcodeNameError || !ok || soa.Minttl > 30 || soa.Hdr.Ttl > 30 || soa.Serial != serial+1 {
		t.Errorf("dead: %v", m)
	}
	if m := ask(s, "2.7.135.10.in-addr.arpa.", "PTR", "203.0.113.5"); m.Rcode != dns.RcodeNameError {
		t.Errorf("dead, by its address: %v", m)
	}
	if err := s.Reload(t.Context()); err != nil || s.book.Load().serial != serial+1 {
		t.Errorf("the serial rose although nothing changed: %v", err)
	}
	if got := brief(ask(s, "vnode-9-9.grid.example.org.", "A", "203.0.113.5")); got != "NOERROR | A 10.134.9.9" {
		t.Errorf("a host took a planned name: %s", got)
	}
	if got := brief(ask(s, "gateway.grid.example.org.", "A", "203.0.113.5")); got != "NOERROR | A 10.134.0.1" {
		t.Errorf("a host took a configured name: %s", got)
	}
	var problems []string
	for _, r := range s.Records() {
		if r.Problem != "" {
			problems = append(problems, r.Name)
		}
	}
	if want := []string{"gateway.grid.example.org", "vnode-9-9.grid.example.org"}; !slices.Equal(problems, want) {
		t.Errorf("reported are %v, want %v", problems, want)
	}
}

// Neighbours on one LAN get their LAN addresses, and nobody else does.
func TestViews(t *testing.T) {
	s, w := newServer(t)
	for from, want := range map[string]string{
		"10.134.7.39":  "A 192.168.1.10", // a neighbour, through its tunnel
		"10.134.7.40":  "A 10.134.7.38",  // the same network's number, at another site
		"203.0.113.5":  "A 10.134.7.38",
		"192.168.1.11": "A 10.134.7.38", // who says so himself
	} {
		for _, name := range []string{"vnode-7-38", "client1", "www"} {
			if got := brief(ask(s, name+".grid.example.org.", "A", from)); !strings.HasSuffix(got, want) {
				t.Errorf("%s from %s: %s", name, from, got)
			}
		}
	}
	if got := brief(ask(s, "vnode-7-39.grid.example.org.", "A", "10.134.7.38")); got != "NOERROR | A 10.134.7.39" {
		t.Errorf("without leave: %s", got)
	}
	if got := brief(ask(s, "38.7.134.10.in-addr.arpa.", "PTR", "10.134.7.39")); !strings.HasSuffix(got, "vnode-7-38.grid.example.org.") {
		t.Errorf("back: %s", got)
	}
	// The same reverse name, for the neighbour and for nobody else.
	for from, want := range map[string]string{"10.134.7.39": "NOERROR | PTR vnode-7-38.grid.example.org.", "10.134.7.40": "REFUSED", "10.134.7.42": "REFUSED", "203.0.113.5": "REFUSED", "192.168.1.11": "REFUSED"} {
		if got := brief(ask(s, "10.1.168.192.in-addr.arpa.", "PTR", from)); got != want {
			t.Errorf("back from the LAN, by %s: %s", from, got)
		}
	}
	if got := brief(ask(s, "11.1.168.192.in-addr.arpa.", "PTR", "10.134.7.38")); got != "REFUSED" {
		t.Errorf("back without leave: %s", got)
	}
	if got := brief(ask(s, "10.1.168.192.in-addr.arpa.", "A", "10.134.7.39")); got != "REFUSED" {
		t.Errorf("something else of a foreign zone: %s", got)
	}
	for from, most := range map[string]uint32{"10.134.7.39": viewTTL, "10.134.7.42": viewTTL, "10.134.7.40": nodeTTL, "203.0.113.5": nodeTTL} { // .42 may tell its LAN any moment
		if ttl := ask(s, "vnode-7-38.grid.example.org.", "A", from).Answer[0].Header().Ttl; ttl != most {
			t.Errorf("what %s is told lives %d s", from, ttl)
		}
	}
	change := func(what string, fn func(near *Node)) {
		t.Helper()
		w.mu.Lock()
		fn(&w.data.Nodes[0])
		w.mu.Unlock()
		if err := s.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := brief(ask(s, "vnode-7-38.grid.example.org.", "A", "10.134.7.39")); !strings.HasSuffix(got, "A 10.134.7.38") {
			t.Errorf("%s: %s", what, got)
		}
		if got := brief(ask(s, "10.1.168.192.in-addr.arpa.", "PTR", "10.134.7.39")); got != "REFUSED" {
			t.Errorf("%s, back: %s", what, got)
		}
	}
	listed := func() (all []string) {
		for _, r := range s.Records() {
			if r.For != "" {
				all = append(all, r.Name+" "+r.Value+" "+r.For+" "+r.Problem)
			}
		}
		return all
	}
	if got := listed(); !slices.Equal(got, []string{"vnode-7-38.grid.example.org 192.168.1.10 nodes in 192.168.1.0/24 behind 192.0.2.7 "}) {
		t.Errorf("listed: %q", got)
	}
	change("told by two", func(near *Node) { near.LAN[0].Disputed = true })
	if got := listed(); len(got) != 1 || !strings.Contains(got[0], "told by another node") {
		t.Errorf("listed: %q", got)
	}
	change("moved", func(near *Node) { near.LAN = places("192.0.2.7", "192.168.7.10/24") })
	change("behind another router", func(near *Node) { near.LAN = places("198.51.100.9", "192.168.1.10/24") })
	change("down", func(near *Node) { near.LAN, near.Up = places("192.0.2.7", "192.168.1.10/24"), false })
}

func TestMessages(t *testing.T) {
	s, _ := newServer(t)
	if m := ask(s, "grid.example.org.", "SOA", "203.0.113.5", func(q *dns.Msg) { q.SetEdns0(4096, true) }); m.IsEdns0() == nil || m.IsEdns0().UDPSize() != largest || !m.IsEdns0().Do() {
		t.Errorf("%v", m)
	}
	if m := ask(s, "grid.example.org.", "SOA", "203.0.113.5"); m.IsEdns0() != nil {
		t.Errorf("%v", m)
	}
	if m := ask(s, "grid.example.org.", "SOA", "203.0.113.5", func(q *dns.Msg) { q.SetEdns0(4096, false); q.IsEdns0().SetVersion(1) }); m.Rcode != dns.RcodeBadVers || len(m.Answer) != 0 {
		t.Errorf("%v", m)
	}
	if m := ask(s, "grid.example.org.", "SOA", "203.0.113.5", func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }); m.Rcode != dns.RcodeRefused {
		t.Errorf("%v", m)
	}
	if m := ask(s, "grid.example.org.", "SOA", "203.0.113.5", func(q *dns.Msg) { q.Opcode = dns.OpcodeUpdate }); m.Rcode != dns.RcodeNotImplemented {
		t.Errorf("%v", m)
	}
	var many []netip.Addr
	for i := range 200 {
		many = append(many, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	s.Names["many.grid.example.org"] = many
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for size, most := range map[uint16]int{0: 512, 600: 600, 4096: largest} {
		m := ask(s, "many.grid.example.org.", "A", "203.0.113.5", func(q *dns.Msg) {
			if size > 0 {
				q.SetEdns0(size, false)
			}
		})
		if wire, err := m.Pack(); err != nil || len(wire) > most || !m.Truncated {
			t.Errorf("%d: %d bytes, truncated %t, %v", size, len(wire), m.Truncated, err)
		}
	}
}

// serve has the server answer on loopback, and returns its port.
func serve(t *testing.T, s *Server) (port string) {
	t.Helper()
	var err error
	if s.TCP, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if s.UDP, err = net.ListenPacket("udp", s.TCP.Addr().String()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	_, port, _ = net.SplitHostPort(s.TCP.Addr().String())
	return port
}

// dig asks as administrators do.
func dig(t *testing.T, port string, args ...string) string {
	t.Helper()
	args = append([]string{"@127.0.0.1", "-p", port, "+tries=1", "+time=3", "+nocookie"}, args...)
	out, err := exec.CommandContext(t.Context(), require.Tool(t, "dig"), args...).CombinedOutput()
	if err != nil && !bytes.Contains(out, []byte("Transfer failed")) {
		t.Fatalf("dig %v: %v: %s", args, err, out)
	}
	return string(out)
}

// Row 69: short life, right reverse, refused transfer; with the real dig.
func TestDig(t *testing.T) {
	require.Tool(t, "dig")
	s, _ := newServer(t)
	port := serve(t, s)
	for _, how := range []string{"+notcp", "+tcp"} {
		if out := dig(t, port, how, "+short", "vnode-7-38.grid.example.org"); out != "10.134.7.38\n" {
			t.Errorf("%s: %s", how, out)
		}
		if out := dig(t, port, how, "+short", "-x", "10.134.7.38"); out != "vnode-7-38.grid.example.org.\n" {
			t.Errorf("%s: %s", how, out)
		}
	}
	out := dig(t, port, "vnode-7-38.grid.example.org")
	for _, want := range []string{"status: NOERROR", "flags: qr aa rd;", " 30\tIN\tA\t10.134.7.38", "udp: 1232", "recursion requested but not available"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in: %s", want, out)
		}
	}
	for want, args := range map[string][]string{
		"status: REFUSED": {"www.example.net"}, "status: NXDOMAIN": {"vnode-7-999.grid.example.org"},
		"status: NOTIMP": {"+opcode=notify", "grid.example.org", "SOA"}, "CNAME\tvnode-7-38": {"www.grid.example.org"},
		"AAAA\tfd00:7::102": {"six-1-2.grid.example.org", "AAAA"},
	} {
		if out := dig(t, port, args...); !strings.Contains(out, want) {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out := dig(t, port, "grid.example.org", "AXFR"); !strings.Contains(out, "Transfer failed") || strings.Contains(out, "vnode-") {
		t.Errorf("a transfer to anybody: %s", out)
	}
	if out := dig(t, port, "-y", "hmac-sha256:transfer:d3Jvbmd3cm9uZ3dyb25nd3JvbmcK", "grid.example.org", "AXFR"); strings.Contains(out, "vnode-") {
		t.Errorf("a transfer with a wrong key: %s", out)
	}
	if out := dig(t, port, "-y", "hmac-sha256:transfer:d3Jvbmd3cm9uZ3dyb25nd3JvbmcK", "grid.example.org", "SOA"); !strings.Contains(out, "status: NOTAUTH") || strings.Contains(out, "ns1.") {
		t.Errorf("a wrong key: %s", out)
	}
	if out := dig(t, port, "-y", "hmac-sha256:transfer:"+secret, "grid.example.org", "SOA"); !strings.Contains(out, "status: NOERROR") || !strings.Contains(out, "TSIG") || strings.Contains(out, "invalid") {
		t.Errorf("signed: %s", out)
	}
}

// Row 69: a transfer is for who signs with a key, or comes from an address that
// is listed; it is whole.
func TestTransfer(t *testing.T) {
	require.Tool(t, "dig")
	s, _ := newServer(t)
	port := serve(t, s)
	out := dig(t, port, "-y", "hmac-sha256:transfer:"+secret, "grid.example.org", "AXFR")
	if n := strings.Count(out, "\tA\t10.134."); n < 65533 {
		t.Errorf("%d of 65533 addresses: %.2000s", n, out)
	}
	for want, n := range map[string]int{"\tSOA\t": 2, "vnode-2-98.grid.example.org.": 1, "live-2.grid.example.org.": 1, "live-3.": 0, "client5.": 0, "client1.": 1, "CNAME": 4} {
		if got := strings.Count(out, "\n"+want); want[0] != '\t' && want != "CNAME" && got != n {
			t.Errorf("%d times %q", got, want)
		} else if got := strings.Count(out, want); (want[0] == '\t' || want == "CNAME") && got != n {
			t.Errorf("%d times %q", got, want)
		}
	}
	if strings.Contains(out, "WARNING") || strings.Contains(out, "could not be validated") {
		t.Errorf("%.500s", out)
	}
	s, _ = newServer(t)
	s.Transfer = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	out = dig(t, serve(t, s), "7.135.10.in-addr.arpa", "AXFR")
	if !strings.Contains(out, "2.7.135.10.in-addr.arpa.") || strings.Contains(out, "\n3.7.135.10") {
		t.Errorf("%.2000s", out)
	}
}

// Whatever comes in, the answer can be packed, is no longer than it may be, and
// is about nothing but our zones.
func FuzzReply(f *testing.F) {
	s, _ := newServer(f)
	for _, name := range []string{"vnode-7-38.grid.example.org.", "www.grid.example.org.", "2.7.135.10.in-addr.arpa.", ".", `\000\255.grid.example.org.`} {
		q := new(dns.Msg)
		q.SetQuestion(name, dns.TypeANY)
		q.SetEdns0(512, true)
		wire, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		q := new(dns.Msg)
		if q.Unpack(wire) != nil {
			return
		}
		m := s.reply(q, ip("10.134.7.39"), true)
		out, err := m.Pack()
		if err != nil {
			t.Fatalf("%v for %v", err, q)
		}
		if len(out) > largest {
			t.Errorf("%d bytes for %v", len(out), q)
		}
		if len(q.Question) == 1 && len(m.Answer) > 0 && s.book.Load().zoneOf(plain(q.Question[0].Name)) == "" {
			t.Errorf("answered %v", q)
		}
	})
}

// BenchmarkReply is one question without the network: a planned name, and one
// that is not there.
func BenchmarkReply(b *testing.B) {
	s, _ := newServer(b)
	for _, name := range []string{"vnode-7-38.grid.example.org.", "38.7.134.10.in-addr.arpa.", "nothing.grid.example.org."} {
		b.Run(name, func(b *testing.B) {
			kind := "A"
			if strings.HasSuffix(name, "arpa.") {
				kind = "PTR"
			}
			for b.Loop() {
				ask(s, name, kind, "10.134.7.39")
			}
		})
	}
}
