package presence

import (
	"iter"
	"net/netip"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/lan"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// types are the node types with what is computed of them, by name.
type types map[string]kind

type kind struct {
	fleet.NodeType
	plan       *node.Plan
	properties map[string]string
}

func typesOf(tx *store.Tx) (types, error) {
	rows, err := store.All[fleet.NodeType](tx, fleet.NodeTypes, nil)
	if err != nil {
		return nil, err
	}
	all := types{}
	for _, r := range rows {
		k := kind{NodeType: r}
		k.properties, err = node.Properties(r)
		if err == nil {
			k.plan, err = node.PlanOf(r)
		}
		if err != nil { // one that the check let in, an earlier version's: its nodes have no names, others do
			k.plan = nil
		}
		all[r.ID] = k
	}
	return all, nil
}

// planned tells whether a name is one of some plan, and so ours.
func (t types) planned(name string) bool {
	for _, k := range t {
		if k.plan != nil {
			if _, ok := k.plan.Address(name); ok {
				return true
			}
		}
	}
	return false
}

// node is a host as it shall be; false if it has no name in tunnels.
func (t types) node(a address, known []session, now time.Time) (node.Node, bool) {
	k, ok := t[a.NodeType]
	at, err := netip.ParseAddr(a.Address)
	if !ok || k.plan == nil || err != nil {
		return node.Node{}, false
	}
	name, ok := k.plan.Name(at)
	if !ok {
		return node.Node{}, false
	}
	n := node.Node{HostID: a.HostID, Name: name, Address: at, NodeType: a.NodeType, Epoch: a.Number,
		Scheduler: k.Scheduler, Resources: k.Resources, Properties: k.properties}
	s, up := newest(known, now)
	n.Up, n.Resolves = up, up || k.DeadName != "remove"
	if up {
		n.Epoch = s.Number
		n.ConnectedSince = time.UnixMilli(s.Since).UTC()
		n.ClientAddress, _ = netip.ParseAddr(s.Client)
		n.ClientName = s.Name
	}
	return n, true
}

// Desired are all nodes as they shall be, by host id: hosts that have an address
// in tunnels, whether or not they are up.
func Desired(tx *store.Tx) iter.Seq2[node.Node, error] {
	return func(yield func(node.Node, error) bool) {
		if err := desired(tx, func(n node.Node, _ []session) bool { return yield(n, nil) }); err != nil {
			yield(node.Node{}, err)
		}
	}
}

func desired(tx *store.Tx, yield func(node.Node, []session) bool) error {
	t, err := typesOf(tx)
	if err != nil {
		return err
	}
	held, err := store.All[address](tx, addresses, nil)
	if err != nil {
		return err
	}
	all, err := store.All[session](tx, sessions, nil)
	if err != nil {
		return err
	}
	by := map[string][]session{}
	for _, s := range all {
		by[s.HostID] = append(by[s.HostID], s)
	}
	for _, a := range held {
		if n, ok := t.node(a, by[a.HostID], tx.Now()); ok && !yield(n, by[a.HostID]) {
			return nil
		}
	}
	return nil
}

// One is a host as it shall be; false if it is no node.
func One(tx *store.Tx, hostID string) (n node.Node, ok bool, err error) {
	t, err := typesOf(tx)
	if err != nil {
		return n, false, err
	}
	a, err := addressOf(tx, hostID)
	if err != nil || a.HostID == "" {
		return n, false, err
	}
	known, err := of(tx, hostID)
	if err != nil {
		return n, false, err
	}
	n, ok = t.node(a, known, tx.Now())
	return n, ok, nil
}

// Neighbour is a node for who answers questions about names: where it is in its
// own LAN, and what its type says about that.
type Neighbour struct {
	node.Node
	LAN       []lan.Place
	LanDirect bool // the LAN address may be answered to neighbours

	doubted   []string // what it told elsewhere than where its session is
	elsewhere string
}

// Neighbours are the nodes, with their LANs.
func Neighbours(tx *store.Tx) (all []Neighbour, err error) {
	t, err := typesOf(tx)
	if err != nil {
		return nil, err
	}
	rows, err := store.All[told](tx, tolds, nil)
	if err != nil {
		return nil, err
	}
	by := map[string]told{}
	for _, r := range rows {
		by[r.HostID] = r
	}
	claims := lan.Claims{}
	err = desired(tx, func(n node.Node, known []session) bool {
		nb := Neighbour{Node: n, LanDirect: t[n.NodeType].LanDirect}
		if s, up := newest(known, tx.Now()); up {
			told, elsewhere := s.lanOf(by[n.HostID], tx.Now())
			nb.LAN = t.places(s.Client, told)
			if elsewhere {
				nb.elsewhere, nb.LAN = by[n.HostID].From, nil
				nb.doubted = told
			}
			claims.Add(n.HostID, nb.LAN)
		}
		all = append(all, nb)
		return true
	})
	for _, nb := range all {
		claims.Judge(nb.HostID, nb.LAN)
	}
	return all, err
}

// Facts are the sessions that decide something, of one host or of all ("").
func Facts(tx *store.Tx, hostID string) ([]node.Fact, error) {
	f := fleet.Filter{}
	if hostID != "" {
		f["hostId"] = hostID
	}
	rows, err := store.All[session](tx, sessions, f)
	if err != nil {
		return nil, err
	}
	nodes, err := Neighbours(tx)
	if err != nil {
		return nil, err
	}
	named, claims := map[string]Neighbour{}, lan.Claims{}
	for _, n := range nodes {
		named[n.HostID] = n
		claims.Add(n.HostID, n.LAN)
	}
	facts := []node.Fact{}
	by := map[string][]session{}
	for _, s := range rows {
		by[s.HostID] = append(by[s.HostID], s)
	}
	for _, s := range rows {
		if s.Since == 0 {
			continue
		}
		n := named[s.HostID]
		f := node.Fact{HostID: s.HostID, Name: n.Name, NodeType: n.NodeType, Tunnel: s.Tunnel, Up: s.counts(by[s.HostID], tx.Now()),
			Address: s.Address, ClientAddress: s.Client, ClientName: s.Name, Since: time.UnixMilli(s.Since), Epoch: s.Epoch}
		if f.Up {
			for _, p := range n.LAN {
				l := node.LAN{Address: p.At.String()}
				if others := claims.Others(s.HostID, p); len(others) > 0 {
					l.Problem = "told by " + strings.Join(others, ", ") + " too"
				}
				f.LAN = append(f.LAN, l)
			}
			for _, at := range n.doubted {
				f.LAN = append(f.LAN, node.LAN{Address: at, Problem: "told from " + n.elsewhere + ", where the tunnel does not come from"})
			}
		}
		facts = append(facts, f)
	}
	return facts, nil
}
