package nebula

import (
	"net/netip"
	"slices"
	"time"
)

// Cut is how long a process takes, at most, to close the tunnels with those whose
// certificate is over or blocked, from when it was told.
const Cut = 10 * time.Second

// Status is what a process says of itself.
type Status struct {
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
	// Stamp is that of the configuration that it read last.
	Stamp string `json:"stamp"`
	Peers []Peer `json:"peers"`
	// Beside are devices of another tunnel with the same network, Away the peers that
	// are in the mesh and go by that tunnel, because they are not reached now.
	Beside []string     `json:"beside,omitempty"`
	Away   []netip.Addr `json:"away,omitempty"`
	// Problem is what the machine would have to be told otherwise, "" for nothing.
	Problem string `json:"problem,omitempty"`
}

// Peer is a node with which there is a tunnel.
type Peer struct {
	Name    string       `json:"name"` // of its certificate
	Groups  []string     `json:"groups,omitempty"`
	Address []netip.Addr `json:"address"`
	// Remote is where packets go, if they go directly; Relays are the mesh
	// addresses of those that pass them on.
	Remote netip.AddrPort `json:"remote"`
	Relays []netip.Addr   `json:"relays,omitempty"`
	// Known are all places where the node may be.
	Known []netip.AddrPort `json:"known,omitempty"`
	Hub   bool             `json:"hub,omitempty"`
}

// Direct tells whether packets go straight to the node.
func (p Peer) Direct() bool { return p.Remote.IsValid() }

// Via is where packets go: the node's own place, or who passes them on; "" if that is
// not settled.
func (p Peer) Via() string {
	switch {
	case p.Direct():
		return p.Remote.String()
	case len(p.Relays) > 0:
		return p.Relays[0].String()
	}
	return ""
}

// Reason is why a path is as it is: a word, for people [Reason.Text].
type Reason string

// The reasons: of direct paths, then of relayed ones.
const (
	LAN    Reason = "lan"
	Routed Reason = "routed"
	Public Reason = "public"
	Clash  Reason = "clash"
	Closed Reason = "closed"
	Hidden Reason = "hidden"
)

var reasons = map[Reason]string{
	LAN:    "its address is in a network of this machine",
	Routed: "its address is reached by routing, on private networks",
	Public: "its address is reached from here: it is public, or its router was opened from both sides",
	Clash:  "it tells an address in a network of this machine, but does not answer there: another site uses the same addresses, or a firewall is between",
	Closed: "its router lets nothing in that it did not ask for, and neither side could open the way",
	Hidden: "no address of it is known that can be reached from here",
}

// Text is the reason for people; that of an unknown word is the word.
func (r Reason) Text() string {
	if text, ok := reasons[r]; ok {
		return text
	}
	return string(r)
}

// Why says why the path is as it is. lan are the networks that this machine is in.
func (p Peer) Why(lan []netip.Prefix) Reason {
	in := func(a netip.Addr) bool {
		return slices.ContainsFunc(lan, func(n netip.Prefix) bool { return n.Contains(a.Unmap()) })
	}
	if p.Direct() {
		switch a := p.Remote.Addr().Unmap(); {
		case in(a):
			return LAN
		case a.IsPrivate():
			return Routed
		}
		return Public
	}
	near, public := false, false
	for _, k := range p.Known {
		near = near || in(k.Addr())
		public = public || !k.Addr().Unmap().IsPrivate()
	}
	switch {
	case near:
		return Clash
	case public:
		return Closed
	}
	return Hidden
}
