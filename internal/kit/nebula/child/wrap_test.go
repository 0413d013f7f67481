package child

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

func packet(from, to string) []byte {
	p := make([]byte, 40)
	p[0], p[8], p[9] = 0x45, 64, 1
	binary.BigEndian.PutUint16(p[2:], 40)
	a, b := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
	copy(p[12:], a[:])
	copy(p[16:], b[:])
	copy(p[20:], "what is said")
	return p
}

func node() *wrapping {
	return &wrapping{own: []netip.Prefix{netip.MustParsePrefix("10.134.0.2/16")}, gate: netip.MustParseAddr("10.134.0.1"),
		through: []netip.Prefix{netip.MustParsePrefix("10.134.0.0/16"), netip.MustParsePrefix("129.88.70.0/26")}, direct: map[netip.Addr]bool{netip.MustParseAddr("10.134.0.3"): true}}
}

func hub() *wrapping {
	w := node()
	w.own, w.gate, w.hub = []netip.Prefix{netip.MustParsePrefix("10.134.0.1/16")}, netip.Addr{}, true
	return w
}

// sends is what leaves a device when its kernel sends a packet.
func (w *wrapping) sends(p []byte) []byte {
	buf := make([]byte, 2000)
	return buf[:w.out(buf, copy(buf, p))]
}

func TestWrapping(t *testing.T) {
	for name, c := range map[string]struct {
		w       *wrapping
		from    string
		to      string
		wrapped bool
	}{
		"a node to a peer":                      {node(), "10.134.0.2", "10.134.0.3", false},
		"a node to the hub":                     {node(), "10.134.0.2", "10.134.0.1", false},
		"a node to who is in another tunnel":    {node(), "10.134.0.2", "10.134.0.4", true},
		"a node to a network behind the hub":    {node(), "10.134.0.2", "129.88.70.1", true},
		"a node to what nobody passes on to":    {node(), "10.134.0.2", "192.0.2.1", false},
		"a node in another's name":              {node(), "10.134.0.9", "10.134.0.4", false},
		"the hub to a node":                     {hub(), "10.134.0.1", "10.134.0.2", false},
		"the hub for who is in another tunnel":  {hub(), "10.134.0.4", "10.134.0.2", true},
		"the hub for a network behind it":       {hub(), "129.88.70.1", "10.134.0.2", true},
		"the hub for what it does not pass on":  {hub(), "192.0.2.1", "10.134.0.2", false},
		"the hub to an address out of the mesh": {hub(), "10.134.0.4", "192.0.2.1", false},
	} {
		p := packet(c.from, c.to)
		sent := c.w.sends(p)
		if got := !bytes.Equal(sent, p); got != c.wrapped {
			t.Errorf("%s: wrapped %v", name, got)
			continue
		}
		if !c.wrapped {
			continue
		}
		if sum(sent[:20]) != 0 || int(binary.BigEndian.Uint16(sent[2:])) != len(sent) {
			t.Errorf("%s: the outer header is not right: %x", name, sent[:28])
		}
		other := hub()
		if c.w.hub {
			other = node()
		}
		if got, ok := other.in(sent); !ok || !bytes.Equal(got, p) {
			t.Errorf("%s: the other end gets %x, %v", name, got, ok)
		}
	}
}

// What is wrapped and not right is for nobody.
func TestWrapping_Refuses(t *testing.T) {
	wrap := func(outerFrom, outerTo string, inner []byte) []byte {
		p := append(packet(outerFrom, outerTo)[:20], make([]byte, 8)...)
		p[9] = 17
		binary.BigEndian.PutUint16(p[20:], nebula.PassPort)
		binary.BigEndian.PutUint16(p[22:], nebula.PassPort)
		return append(p, inner...)
	}
	narrow := hub()
	narrow.through = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	for name, c := range map[string]struct {
		w *wrapping
		p []byte
	}{
		"in another's name at the hub":           {hub(), wrap("10.134.0.2", "10.134.0.1", packet("10.134.0.3", "10.134.0.4"))},
		"for the hub itself":                     {hub(), wrap("10.134.0.2", "10.134.0.1", packet("10.134.0.2", "10.134.0.1"))},
		"for what the hub does not pass on to":   {hub(), wrap("10.134.0.2", "10.134.0.1", packet("10.134.0.2", "192.0.2.1"))},
		"for the network inside a larger one":    {narrow, wrap("10.134.0.2", "10.134.0.1", packet("10.134.0.2", "10.134.0.4"))},
		"no packet at the hub":                   {hub(), wrap("10.134.0.2", "10.134.0.1", []byte("x"))},
		"from a peer that is no hub":             {node(), wrap("10.134.0.3", "10.134.0.2", packet("10.134.0.4", "10.134.0.2"))},
		"for another node":                       {node(), wrap("10.134.0.1", "10.134.0.2", packet("10.134.0.4", "10.134.0.3"))},
		"in the name of the hub":                 {node(), wrap("10.134.0.1", "10.134.0.2", packet("10.134.0.1", "10.134.0.2"))},
		"from a network that nobody passes from": {node(), wrap("10.134.0.1", "10.134.0.2", packet("192.0.2.1", "10.134.0.2"))},
	} {
		if got, ok := c.w.in(c.p); ok {
			t.Errorf("%s was taken: %x", name, got)
		}
	}
	plain := packet("10.134.0.3", "10.134.0.2")
	if got, ok := node().in(plain); !ok || !bytes.Equal(got, plain) {
		t.Error("what is not wrapped is not passed")
	}
}

// A hub of two networks passes nothing on from one into the other: there the rules of
// the mesh, which the hub does not see in what is wrapped, let nobody in.
func TestWrapping_NetworksStayApart(t *testing.T) {
	both := hub()
	both.own = append(both.own, netip.MustParsePrefix("10.135.0.1/16"))
	both.through = append(both.through, netip.MustParsePrefix("10.135.0.0/16"))
	other := &wrapping{own: []netip.Prefix{netip.MustParsePrefix("10.135.0.9/16")}, gate: netip.MustParseAddr("10.135.0.1"), through: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}
	for to, want := range map[string]bool{"10.134.0.4": false, "10.135.0.4": true, "129.88.70.1": true} {
		p := packet("10.135.0.9", to)
		buf := make([]byte, 2000)
		wide := *other
		wide.through = append(wide.through, netip.MustParsePrefix("10.135.0.0/16"))
		sent := buf[:wide.out(buf, copy(buf, p))]
		if bytes.Equal(sent, p) {
			t.Fatalf("to %s: not wrapped", to)
		}
		if _, ok := both.in(sent); ok != want {
			t.Errorf("a node of 10.135.0.0/16 to %s: %v", to, ok)
		}
		back := packet(to, "10.135.0.9")
		if got := !bytes.Equal(both.sends(back), back); got != want {
			t.Errorf("%s to a node of 10.135.0.0/16: %v", to, got)
		}
	}
}

// No bytes end the process, and what a node takes is for itself.
func FuzzWrapping_In(f *testing.F) {
	f.Add(packet("10.134.0.3", "10.134.0.2"))
	f.Add(hub().sends(packet("10.134.0.4", "10.134.0.2")))
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, w := range []*wrapping{node(), hub()} {
			inner, ok := w.in(p)
			if ok && len(inner) < len(p) && !w.hub {
				if _, to, is := ends(inner); !is || !w.isOwn(to) {
					t.Fatalf("%x", p)
				}
			}
			w.sends(p[:min(len(p), 1900)])
		}
		(&probes{answers: make(chan [2]netip.Addr, 1)}).take(p)
		source(p)
		destination(p)
	})
}
