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
	Address string // with the network's length
	Problem string // why nobody is led there
}

// LANs are addresses as methods return them: all, and those that have a problem, each
// followed by it.
func LANs(all []LAN) (addresses, problems []any) {
	addresses, problems = []any{}, []any{}
	for _, l := range all {
		addresses = append(addresses, l.Address)
		if l.Problem != "" {
			problems = append(problems, l.Address+" "+l.Problem)
		}
	}
	return addresses, problems
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
