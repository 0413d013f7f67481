package child

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

// What is not in the mesh, a node of another tunnel or a network that the server leads
// to, is reached through the hub. nebula knows no way to an address of its own network
// but a tunnel with who has it. So the packet goes to the hub inside of another one, of
// UDP between the two ends of the mesh's tunnel, and the answer comes likewise. The
// hub's kernel passes it on, if that is its way.
//
// A node takes from the hub what is for itself, the hub from a node what is from that
// node and for one of the networks that it passes on to. All else is dropped.

// header is that of IPv4 and UDP.
const header = 20 + 8

// wrapping says what goes through the hub. It does not change; another one takes its place.
type wrapping struct {
	own     []netip.Prefix
	hub     bool           // this is the hub
	gate    netip.Addr     // the hub, for a node
	through []netip.Prefix // what the hub passes on
	// direct are peers of the mesh.
	direct map[netip.Addr]bool
}

func (w *wrapping) isOwn(a netip.Addr) bool {
	return slices.ContainsFunc(w.own, func(o netip.Prefix) bool { return o.Addr() == a })
}

// passes tells whether the hub passes on between a node of the mesh and an address. One
// of the mesh's own networks is among them only if the network itself is, not by a
// larger one around it, and for nodes of this network only: a hub has several.
func (w *wrapping) passes(node, a netip.Addr) bool {
	if i := slices.IndexFunc(w.own, func(o netip.Prefix) bool { return o.Contains(a) }); i >= 0 {
		return w.own[i].Contains(node) && slices.Contains(w.through, w.own[i].Masked())
	}
	return slices.ContainsFunc(w.through, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ends are where a packet of IPv4 comes from and where it goes.
func ends(p []byte) (from, to netip.Addr, ok bool) {
	if len(p) < 20 || p[0]>>4 != 4 {
		return from, to, false
	}
	return netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), true
}

// out wraps a packet of n bytes that this machine sends, if it goes through the hub; it
// returns the new length.
func (w *wrapping) out(buf []byte, n int) int {
	from, to, ok := ends(buf[:n])
	if !ok || n+header > len(buf) || n+header > 0xffff {
		return n
	}
	outer, at := from, w.gate
	if w.hub {
		if w.isOwn(from) || !w.passes(to, from) { // its own; and what it does not pass on nebula drops
			return n
		}
		i := slices.IndexFunc(w.own, func(o netip.Prefix) bool { return o.Contains(to) })
		if i < 0 {
			return n
		}
		outer, at = w.own[i].Addr(), to
	} else if to == w.gate || w.direct[to] || !w.isOwn(from) || !w.passes(from, to) {
		return n
	}
	copy(buf[header:], buf[:n])
	n += header
	clear(buf[:header])
	buf[0], buf[8], buf[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(buf[2:], uint16(n))
	a, b := outer.As4(), at.As4()
	copy(buf[12:], a[:])
	copy(buf[16:], b[:])
	binary.BigEndian.PutUint16(buf[10:], sum(buf[:20]))
	binary.BigEndian.PutUint16(buf[20:], nebula.PassPort)
	binary.BigEndian.PutUint16(buf[22:], nebula.PassPort)
	binary.BigEndian.PutUint16(buf[24:], uint16(n-20)) // no checksum: nebula has authenticated it
	return n
}

// sum is the checksum of a header of IPv4.
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// in is the packet for this machine's kernel: what was wrapped, else the packet itself.
// What is wrapped and not right is for nobody.
func (w *wrapping) in(p []byte) (packet []byte, ok bool) {
	from, to, inner, is := datagram(p, nebula.PassPort)
	if !is || !w.isOwn(to) {
		return p, true
	}
	source, target, is := ends(inner)
	switch {
	case !is:
		return nil, false
	case w.hub:
		return inner, source == from && !w.isOwn(target) && w.passes(source, target)
	}
	return inner, from == w.gate && target == to && source != w.gate && w.passes(target, source)
}
