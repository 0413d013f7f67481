// Package steer says which way a packet for the mesh's network goes, on a machine
// where another tunnel, OpenVPN's, has the same network and the same address.
//
// The mesh's device has its address alone, without the network. The network leads to
// it by a route that any other goes before; so where there is no other tunnel all
// goes by the mesh, and where there is one it takes what nobody says otherwise of.
// That is said of each peer by itself ([Choice]), by a route to its address, which
// goes before both. The routes are the device's: they end with the process, however
// that ends, and what they led goes by the other tunnel from then on. On Linux.
package steer

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// Patience is how long a tunnel with a peer may take to come up, until what is for the
// peer goes another way; Again is when it is tried again then, first and at most.
const (
	Patience = 2500 * time.Millisecond
	Again    = 10 * time.Second
	AgainMax = 2 * time.Minute
)

// View is what is seen at a moment.
type View struct {
	Now time.Time
	// Up are peers with whom there is a tunnel, Pending those with whom one is being
	// made.
	Up, Pending map[netip.Addr]bool
	// Known are peers that are in the mesh by word of the server.
	Known []netip.Addr
}

// Choice remembers of peers what one look does not show. The zero value is ready.
type Choice struct{ peers map[netip.Addr]*peer }

type peer struct {
	up      bool
	pending time.Time // since when a tunnel is being made
	failed  bool
	next    time.Time // when it is tried again
	wait    time.Duration
}

// Look says who goes by the mesh, with whom a tunnel is to be tried, and which of those
// known do not go by the mesh now; each in order.
//
// A peer goes by the mesh when there is a tunnel with it, and also when nothing speaks
// against one: the first packet is what makes it. It does no longer when its tunnel
// is gone, or none came up within Patience, until there is one.
func (c *Choice) Look(v View) (by, try, away []netip.Addr) {
	if c.peers == nil {
		c.peers = map[netip.Addr]*peer{}
	}
	known := map[netip.Addr]bool{}
	for _, a := range v.Known {
		known[a] = true
		if c.peers[a] == nil {
			c.peers[a] = &peer{}
		}
	}
	for a := range v.Up {
		if c.peers[a] == nil {
			c.peers[a] = &peer{}
		}
	}
	for a, p := range c.peers {
		switch {
		case v.Up[a]:
			*p = peer{up: true}
			by = append(by, a)
			continue
		case !known[a]:
			delete(c.peers, a)
			continue
		case p.up: // it is gone
			*p = peer{failed: true, next: v.Now}
		case !v.Pending[a]:
			p.pending = time.Time{}
		case p.pending.IsZero():
			p.pending = v.Now
		case !p.failed && v.Now.Sub(p.pending) > Patience:
			*p = peer{failed: true, pending: p.pending, next: v.Now.Add(Again), wait: Again}
		}
		if !p.failed {
			by = append(by, a)
			continue
		}
		away = append(away, a)
		if !v.Now.Before(p.next) {
			try = append(try, a)
			p.wait = min(max(2*p.wait, Again), AgainMax)
			p.next = v.Now.Add(p.wait)
		}
	}
	for _, all := range [][]netip.Addr{by, try, away} {
		slices.SortFunc(all, netip.Addr.Compare)
	}
	return by, try, away
}

// Others are the devices of the machine, beside ours, that have an address in one of
// the networks.
func Others(device string, networks []netip.Prefix) (names []string) {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Name == device {
			continue
		}
		addrs, _ := i.Addrs()
		in := func(a net.Addr) bool {
			p, err := netip.ParsePrefix(a.String())
			return err == nil && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Masked().Contains(p.Addr().Unmap()) })
		}
		if slices.ContainsFunc(addrs, in) {
			names = append(names, i.Name)
		}
	}
	return names
}

// Route is a way into the mesh.
type Route struct {
	To    netip.Prefix
	From  netip.Addr // the machine's own address, for what begins here
	Other bool       // any other route goes before it
}

// Routes are those of a mesh whose addresses are own, each with its network's length.
// through are further networks that it leads to, and by the peers that go by the mesh
// although another tunnel has the network.
func Routes(own, through []netip.Prefix, by []netip.Addr) (all []Route) {
	source := func(a netip.Addr) (netip.Addr, bool) {
		for _, o := range own {
			if o.Addr().BitLen() == a.BitLen() {
				return o.Addr(), true
			}
		}
		return netip.Addr{}, false
	}
	for _, o := range own {
		all = append(all, Route{To: o.Masked(), From: o.Addr(), Other: true})
	}
	for _, t := range through {
		from, ok := source(t.Addr())
		if ok && !slices.ContainsFunc(own, func(o netip.Prefix) bool { return o.Masked() == t }) {
			all = append(all, Route{To: t, From: from, Other: true})
		}
	}
	for _, a := range by {
		for _, o := range own {
			if o.Masked().Contains(a) && a != o.Addr() {
				all = append(all, Route{To: netip.PrefixFrom(a, a.BitLen()), From: o.Addr()})
			}
		}
	}
	return all
}
