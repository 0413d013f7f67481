package mesh

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	plans "github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
)

// fresh is how long a map is given again without a look at the rows: many nodes
// ask at once, and a map is as long as there are nodes.
const fresh = time.Second

// forget has maps made anew.
func (m *Mesh) forget() {
	m.mu.Lock()
	clear(m.maps)
	m.mu.Unlock()
}

// sign is the map of a network, and its tag.
func (m *Mesh) sign(ctx context.Context, network netip.Prefix) (mesh.Signed, string, error) {
	m.mu.Lock()
	was, ok := m.maps[network]
	m.mu.Unlock()
	now := m.Now()
	if ok && now.Sub(was.at) < fresh && !now.Before(was.at) {
		return was.signed, was.tag, nil
	}
	var all mesh.Map
	var ring *certs.Ring
	if err := m.Store.View(ctx, func(tx *store.Tx) (err error) {
		if ring, err = m.authorities(tx); err == nil {
			all, err = m.draw(tx, network, now)
			all.CA = ring.Bundle()
		}
		return err
	}); err != nil {
		return mesh.Signed{}, "", err
	}
	text, err := all.Encode()
	if err != nil {
		return mesh.Signed{}, "", err
	}
	if len(text) > mesh.MaxMap {
		return mesh.Signed{}, "", fleet.Errorf(fleet.TooLarge, "cannot draw the map of the mesh %v: it has more than %d bytes", network, mesh.MaxMap)
	}
	is := made{at: now, tag: mesh.Tag(text), signed: was.signed}
	if is.tag != was.tag { // the authority is in it
		is.signed = mesh.Signed{Map: text, Key: ring.Signing().Public(), Signature: ring.Signing().Say(mesh.Text(text))}
		for _, h := range ring.Heirs {
			is.signed.Heirs = append(is.signed.Heirs, mesh.Heir(h))
		}
	}
	m.mu.Lock()
	m.maps[network] = is
	m.mu.Unlock()
	return is.signed, is.tag, nil
}

// draw makes the map of a network, but for its authorities. The same rows make the same map.
func (m *Mesh) draw(tx *store.Tx, network netip.Prefix, now time.Time) (mesh.Map, error) {
	hub := network.Addr().Next()
	out := mesh.Map{Network: network, Hubs: []mesh.Hub{{Address: hub, At: m.At, Bare: m.Bare}}, Nodes: []mesh.Node{}}
	all, err := store.All[node](tx, nodes, fleet.Filter{"network": network.String()})
	if err != nil {
		return out, err
	}
	if out.Blocked, err = m.blocked(tx, now); err != nil {
		return out, err
	}
	for _, n := range all {
		if slices.Contains(out.Blocked, n.Fingerprint) || n.NotAfter <= now.Unix() {
			continue
		}
		one := mesh.Node{HostID: n.HostID, Address: netip.MustParseAddr(n.Address), At: []netip.AddrPort{}}
		for _, text := range append(slices.Clone(n.Places), n.Seen) {
			if at, err := netip.ParseAddrPort(text); err == nil && mesh.ValidUnderlay(at) && !slices.Contains(one.At, at) && len(one.At) < mesh.MaxPlaces {
				one.At = append(one.At, at)
			}
		}
		out.Nodes = append(out.Nodes, one)
	}
	slices.SortFunc(out.Nodes, func(a, b mesh.Node) int { return cmp.Compare(a.HostID, b.HostID) })
	if out.Allow, err = m.rules(tx, network); err != nil {
		return out, err
	}
	if out.Kinds, err = m.kinds(tx, network); err != nil {
		return out, err
	}
	out.Bridged, err = m.bridged(tx, network)
	return out, err
}

// blocked are the fingerprints of certificates that are not over and count no
// more.
func (m *Mesh) blocked(tx *store.Tx, now time.Time) ([]string, error) {
	all, err := store.All[given](tx, givens, nil)
	if err != nil {
		return nil, err
	}
	types, err := m.types(tx)
	if err != nil {
		return nil, err
	}
	inMesh := map[string]bool{}
	for _, t := range types {
		inMesh[t.ID] = true
	}
	list := []string{}
	for _, g := range all {
		if g.NotAfter <= now.Unix() {
			continue
		}
		id, err := m.Identity(tx, g.HostID)
		if err != nil {
			return nil, err
		}
		row, err := get(tx, g.HostID)
		if err != nil {
			return nil, err
		}
		if !id.Counts || id.Joined != g.Joined || row.Address != g.Address || !inMesh[id.NodeType] {
			list = append(list, g.Fingerprint)
		}
	}
	slices.Sort(list)
	return list, nil
}

// mostGiven is how many certificates that are not over a host may have. One that goes on
// as it is has two or three; another of its groups, or another key, makes one more. All
// are in everybody's map if it is revoked, which has an end.
const mostGiven = 100

func mayCertify(tx *store.Tx, hostID string, now time.Time) error {
	all, err := store.All[given](tx, givens, fleet.Filter{"hostId": hostID})
	if err != nil {
		return err
	}
	count := 0
	for _, g := range all {
		if g.NotAfter > now.Unix() {
			count++
		}
	}
	if count >= mostGiven {
		return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot certify %s for the mesh: it has %d certificates that are not over", hostID, count), "it gets another when the first of them is over, after %v at most", mesh.Life)
	}
	return nil
}

// rules are who may connect to whom in a network.
func (m *Mesh) rules(tx *store.Tx, network netip.Prefix) ([]mesh.Rule, error) {
	rules := []mesh.Rule{
		{To: "any", From: "any", Proto: "icmp", Ports: "any"},
		{To: "any", From: mesh.ServerGroup, Proto: "any", Ports: "any"},
	}
	if len(m.Allow) > 0 {
		return append(rules, m.Allow...), nil
	}
	types, err := m.types(tx)
	for _, t := range types {
		if plan, err := plans.PlanOf(t); err == nil && plan.Prefix() == network {
			rules = append(rules, mesh.Rule{To: t.ID, From: t.ID, Proto: "any", Ports: "any"})
		}
	}
	return rules, err
}

// types are the node types that use the mesh and have addresses, in order.
func (m *Mesh) types(tx *store.Tx) ([]fleet.NodeType, error) {
	all, err := store.All[fleet.NodeType](tx, fleet.NodeTypes, nil)
	all = slices.DeleteFunc(all, func(t fleet.NodeType) bool { return !uses(t) || t.AddressRange == "" })
	slices.SortFunc(all, func(a, b fleet.NodeType) int { return cmp.Compare(a.ID, b.ID) })
	return all, err
}

// Sweep removes certificates that are over, and what nodes told that ask no more.
func (m *Mesh) Sweep(ctx context.Context) error {
	now := m.Now().Unix()
	return m.Store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		all, err := store.All[given](tx, givens, nil)
		for _, g := range all {
			if g.NotAfter < now-int64(24*time.Hour/time.Second) && err == nil {
				err = tx.Remove(givens, givens.Encode(g))
			}
		}
		if err != nil {
			return err
		}
		told, err := store.All[said](tx, saids, nil)
		for _, s := range told {
			if time.UnixMilli(s.At).Unix() < now-int64(24*time.Hour/time.Second) && err == nil {
				err = tx.Remove(saids, saids.Encode(s))
			}
		}
		return err
	})
}
