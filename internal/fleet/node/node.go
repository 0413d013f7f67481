// Package node says what a node is to DNS and to a scheduler: a host with a
// tunnel, an address of its own in it, and a name that follows from the address.
//
// The plan of a node type ([Plan]) is arithmetic, in both directions, and kept
// nowhere: node 7-38 of 10.134.0.0/16 is 10.134.7.38, and is called vnode-7-38
// whether or not there is such a node. So a name never moves to another address,
// and every virtual address has its name before it is used, as in the seed's zone
// file.
//
// What shall be ([Node]) is in the database; what is ([State]) is asked of each
// real server; a [Change] takes the second to the first. Package
// server/presence compares; its drivers read and apply.
package node

import (
	"net/netip"
	"strings"
	"time"
)

// Node is a node as it shall be.
type Node struct {
	HostID   string
	Name     string // fully qualified, without a dot at the end; the address's name in the plan
	Address  netip.Addr
	NodeType string

	Up bool
	// Resolves says whether the name shall have its address now: always, or only
	// while the node is up, by its type.
	Resolves bool
	// Epoch rises with every session, over all nodes: what was done for an epoch is
	// not done again for it. 0: the node was never up.
	Epoch          int64
	ConnectedSince time.Time  // of the session, in UTC
	ClientAddress  netip.Addr // where its tunnel comes from
	ClientName     string     // the reverse lookup of that, "" if none is known (yet)

	Scheduler  string            // oar, slurm, exec or none
	Resources  string            // core or node
	Properties map[string]string // the type's own for the scheduler
}

// Short is the name's first label.
func (n Node) Short() string {
	short, _, _ := strings.Cut(n.Name, ".")
	return short
}

// State is a node as a driver found it. What a driver cannot know stays zero.
type State struct {
	Up      bool
	Address netip.Addr
	// Epoch is the one that the driver had last made up, 0 where the other side
	// does not keep it.
	Epoch      int64
	Properties map[string]string
	// Word is the other side's own for the state, such as Suspected.
	Word string
}

// Change is one node's difference, for a driver to take away.
type Change struct {
	Node  Node
	Found bool  // the other side knows the node
	Was   State // as it was found
	// Gone says that nobody wants the node any more: its host or its type was
	// deleted. Only Node.Name is set. A scheduler takes it for down.
	Gone bool
	Why  string // for people
}

// Differs says why a found state is not what shall be, "" if it is. A driver
// that knows better has a method of that name. Up is compared only down to the
// epoch: a node that the other side took down by itself, under an epoch that was
// made up already, stays as it is.
func Differs(want Node, is State, found bool) string {
	switch {
	case !found && !want.Up:
		return ""
	case !found:
		return "not there yet"
	case is.Address.IsValid() && is.Address != want.Address:
		return "address " + is.Address.String() + " shall be " + want.Address.String()
	case is.Up && !want.Up:
		return "up and shall be down"
	case !is.Up && want.Up && (is.Epoch == 0 || is.Epoch < want.Epoch):
		return "down and shall be up"
	case is.Up && want.Up && is.Epoch != 0 && is.Epoch != want.Epoch:
		return "of a former session"
	}
	return ""
}
