package node

import (
	"net/netip"
	"time"
)

// Report is what a tunnel that somebody else runs says of a session that began.
type Report struct {
	HostID        string
	Tunnel        string
	Epoch         string // names the session among all of this host in this tunnel
	NodeType      string // of a host that joined as none
	Address       netip.Addr
	ClientAddress netip.Addr
	Since         time.Time
}

// Fact is a session as people see it.
type Fact struct {
	HostID        string
	Name          string // the node's
	NodeType      string
	Tunnel        string
	Up            bool
	Address       string
	ClientAddress string
	ClientName    string
	Since         time.Time
	Epoch         string
	LAN           []LAN // where the node is beside its tunnels; of one that is up
}

// LAN is an address of a node in a private network.
type LAN struct {
	Address string   // with the network's length
	AlsoBy  []string // who else tells it, so that nobody is led there
}

// LANs are addresses as methods return them.
func LANs(all []LAN) []any {
	out := []any{}
	for _, l := range all {
		others := []any{}
		for _, o := range l.AlsoBy {
			others = append(others, o)
		}
		out = append(out, map[string]any{"address": l.Address, "alsoBy": others})
	}
	return out
}

// Record is a name as people see it. One with a Problem is another's already.
type Record struct {
	Name    string
	Type    string // A, AAAA, PTR, CNAME
	Value   string
	TTL     int64  // seconds
	Of      string // what the name comes from
	For     string // who gets this answer, "" for everybody else
	Problem string
}
