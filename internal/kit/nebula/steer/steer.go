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
)

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
	From  netip.Addr // the machine's own address, for what begins here; invalid: its only one
	Other bool       // any other route goes before it
}

// Routes are those of a mesh whose addresses are own, each with its network's length.
// through are further networks that it leads to, and by the peers that go by the mesh
// although another tunnel has the network.
func Routes(own, through []netip.Prefix, by []netip.Addr) (all []Route) {
	// Routes that name the address go with any device that loses it, says the kernel:
	// with the other tunnel's. So one that is the only one is not named.
	family := func(a netip.Addr) (same []netip.Addr) {
		for _, o := range own {
			if o.Addr().BitLen() == a.BitLen() {
				same = append(same, o.Addr())
			}
		}
		return same
	}
	from := func(a netip.Addr) netip.Addr {
		if len(family(a)) == 1 {
			return netip.Addr{}
		}
		return a
	}
	for _, o := range own {
		all = append(all, Route{To: o.Masked(), From: from(o.Addr()), Other: true})
	}
	for _, t := range through {
		same := family(t.Addr())
		if len(same) > 0 && !slices.ContainsFunc(own, func(o netip.Prefix) bool { return o.Masked() == t }) {
			all = append(all, Route{To: t, From: from(same[0]), Other: true})
		}
	}
	for _, a := range by {
		for _, o := range own {
			if o.Masked().Contains(a) && a != o.Addr() {
				all = append(all, Route{To: netip.PrefixFrom(a, a.BitLen()), From: from(o.Addr())})
			}
		}
	}
	return all
}
