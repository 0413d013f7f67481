// Package lan is what a node tells its server of the networks that it is in beside
// its tunnels (POST /v1/lan), and what follows from it: who is whose neighbour.
//
// A node tells its own addresses when a tunnel came up, when they change, and once
// in a while. The server believes no more of it than this:
//
//   - Only private addresses, of networks as people have them: not a whole /0, not
//     the network's own address, and (server/presence) nothing of a node type's range.
//   - An address means something only together with where the server sees the node
//     come from, which the node cannot choose. Behind a public address the networks
//     are that router's own: 192.168.1.0/24 behind another one is another network. A
//     node that is seen coming from an address that it tells itself is behind no
//     router: of such a node that address counts and no other, and its network is one
//     that the server is routed to.
//   - An address that two nodes which are up tell of the same network behind the same
//     public address is nobody's ([Claims]): names lead to neither by it, but through
//     the tunnel. So a node cannot draw to itself what is meant for its neighbour by
//     telling the neighbour's address; it can make it take the longer way, and
//     administrators see who did.
//
// What is left to a node that lies is its own name, which it may have lead to any
// address of its own network, for its neighbours there. Who answers shows its key.
package lan

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Path is where a node tells.
const Path = "/v1/lan"

// Limits on what is told.
const (
	MaxPlaces = 8
	MaxReport = 1 << 10 // bytes
)

// Again is when a node tells again what has not changed; after Life what it told is
// forgotten: the agent may be dead while its tunnel lives.
const (
	Again = time.Hour
	Life  = 3 * time.Hour
)

// Report is what a node tells: all of its addresses, in order, each once.
type Report struct {
	LAN []netip.Prefix `json:"lan"`
}

// New is a report of those of the addresses that can stand in one.
func New(all []netip.Prefix) Report {
	r := Report{LAN: []netip.Prefix{}}
	for _, p := range all {
		if Valid(p) == nil {
			r.LAN = append(r.LAN, p)
		}
	}
	slices.SortFunc(r.LAN, compare)
	r.LAN = slices.Compact(r.LAN)
	r.LAN = r.LAN[:min(len(r.LAN), MaxPlaces)]
	return r
}

// Parse reads a report. What it takes is written the same by Encode.
func Parse(text []byte) (r Report, err error) {
	bad := func(why string) (Report, error) {
		return Report{}, fleet.Errorf(fleet.Invalid, "cannot read a report of LAN addresses: %s", why)
	}
	if len(text) > MaxReport {
		return bad("it is too large")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return bad(err.Error())
	}
	if back, err := r.Encode(); err != nil || !bytes.Equal(back, text) || r.LAN == nil {
		return bad("it is not written as it would be here")
	}
	return r, r.Check()
}

// Encode writes a report.
func (r Report) Encode() ([]byte, error) { return json.Marshal(r) }

// Check refuses what [New] does not make.
func (r Report) Check() error {
	if len(r.LAN) > MaxPlaces {
		return fleet.Errorf(fleet.TooLarge, "a report of LAN addresses has %d of them; at most %d are told", len(r.LAN), MaxPlaces)
	}
	for i, p := range r.LAN {
		if err := Valid(p); err != nil {
			return err
		}
		if i > 0 && compare(r.LAN[i-1], p) >= 0 {
			return fleet.Errorf(fleet.Invalid, "a report of LAN addresses is in order, each of them once; %s is not", p)
		}
	}
	return nil
}

func compare(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// Private networks (RFC 1918 and 4193), with the longest and shortest length that a
// network in them has where there are neighbours.
var private = []struct {
	block       netip.Prefix
	least, most int
}{
	{netip.MustParsePrefix("10.0.0.0/8"), 8, 30},
	{netip.MustParsePrefix("172.16.0.0/12"), 12, 30},
	{netip.MustParsePrefix("192.168.0.0/16"), 16, 30},
	{netip.MustParsePrefix("fc00::/7"), 48, 126},
}

// Valid refuses what is not the address of a machine in a private network.
func Valid(p netip.Prefix) error {
	bad := func(why string) error {
		return fleet.Errorf(fleet.Invalid, "%s is not an address in a LAN: %s", p, why)
	}
	for _, n := range private {
		switch {
		case !p.IsValid() || !n.block.Contains(p.Addr()):
			continue
		case p.Bits() < n.least || p.Bits() > n.most:
			return bad("no network of neighbours is as large or as small")
		case p.Addr() == p.Masked().Addr():
			return bad("it is the network's own")
		case p.Addr().Is4() && !p.Contains(p.Addr().Next()):
			return bad("it is that of everybody")
		}
		return nil
	}
	return bad("it is not private")
}

// Place is an address of a node in a network that is behind From, or is routed to the
// server if From is none.
type Place struct {
	From netip.Addr
	At   netip.Prefix
	// Disputed: another node that is up tells the same address.
	Disputed bool
}

// Places are where a node is that is seen coming from an address and tells others.
func Places(from netip.Addr, told []netip.Prefix) (all []Place) {
	if !from.IsValid() {
		return nil
	}
	for _, p := range told {
		if p.Addr() == from {
			return []Place{{At: p}}
		}
		all = append(all, Place{From: from, At: p})
	}
	return all
}

// Near tells whether two places are in one network.
func (p Place) Near(q Place) bool { return p.From == q.From && p.At.Masked() == q.At.Masked() }

// Claims are who tells which address, of all nodes that are up.
type Claims map[claim][]string

type claim struct{ from, at netip.Addr }

// Add takes in the places of a node. Its length does not count: the neighbour's
// address in a network of another length is the neighbour's all the same.
func (c Claims) Add(hostID string, all []Place) {
	for _, p := range all {
		k := claim{p.From, p.At.Addr()}
		if !slices.Contains(c[k], hostID) {
			c[k] = append(c[k], hostID)
		}
	}
}

// Others are who else tells a node's address.
func (c Claims) Others(hostID string, p Place) (all []string) {
	for _, other := range c[claim{p.From, p.At.Addr()}] {
		if other != hostID {
			all = append(all, other)
		}
	}
	return all
}

// Judge marks the places of a node that others tell, too.
func (c Claims) Judge(hostID string, all []Place) {
	for i, p := range all {
		all[i].Disputed = len(c.Others(hostID, p)) > 0
	}
}
