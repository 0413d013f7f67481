package presence

import (
	"cmp"
	"context"
	"hash/fnv"
	"net/netip"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Address is the host's own address in tunnels, taken at the first call out of
// its node type's range. No two hosts have one, and a host that joins again under
// its name has the one that it had. A host whose type has no addresses is
// NotFound, a full range Unavailable.
func (p *Presence) Address(ctx context.Context, hostID string) (netip.Addr, error) {
	var a address
	err := p.Store.Update(ctx, origin, func(tx *store.Tx) (err error) {
		if a, err = p.take(tx, strings.ToLower(hostID), netip.Addr{}, ""); err != nil {
			return err
		}
		return tx.Put(addresses, addresses.Encode(a))
	})
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.MustParseAddr(a.Address), nil
}

// take is a host's row with an address: the one wanted, if it is valid, else the
// one that it has, else a free one. The caller puts the row.
func (p *Presence) take(tx *store.Tx, hostID string, wanted netip.Addr, nodeType string) (address, error) {
	fail := func(err error) error {
		return fleet.Errorf(fleet.CodeOf(err), "cannot give %s an address: %w", hostID, err)
	}
	a, err := addressOf(tx, hostID)
	if err != nil {
		return a, fail(err)
	}
	if host, err := tx.ByKey(fleet.Hosts, hostID); err != nil || host == nil {
		if err == nil {
			err = fleet.Errorf(fleet.NotFound, "there is no such host")
		}
		return a, fail(err)
	}
	a.HostID = hostID
	name, err := p.NodeType(tx, hostID)
	if err != nil {
		return a, fail(err)
	}
	name = cmp.Or(name, nodeType, a.NodeType)
	plan, err := planOf(tx, name)
	if err != nil {
		return a, fail(err)
	}
	a.NodeType = name
	has, _ := netip.ParseAddr(a.Address)
	switch {
	case plan == nil && !wanted.IsValid():
		return a, fail(fleet.WithHint(fleet.Errorf(fleet.NotFound, "its node type %q has no address range", name), "fernwerk node-type set TYPE --range 10.134.0.0/16 --domain DOMAIN"))
	case wanted.IsValid() && plan != nil && !plan.Has(wanted):
		return a, fail(fleet.Errorf(fleet.Invalid, "%s is not in the range %s of its node type %s", wanted, plan.Prefix(), name))
	case wanted.IsValid() && wanted != has:
		if err := p.evict(tx, wanted); err != nil {
			return a, fail(err)
		}
	case has.IsValid() && (plan == nil || plan.Has(has)):
		return a, nil
	default:
		if wanted, err = free(tx, plan, hostID); err != nil {
			return a, fail(err)
		}
	}
	if wanted == has {
		return a, nil
	}
	if !has.IsValid() {
		if err := enter(tx, hostID, name); err != nil {
			return a, fail(err)
		}
	} else if err := tx.Remove(holders, fleet.Row{"address": a.Address}); err != nil {
		return a, fail(err)
	}
	a.Address = wanted.String()
	return a, tx.Put(holders, holders.Encode(holder{a.Address, hostID}))
}

// evict frees an address that a tunnel of somebody else's gave to another host.
// A node that is up keeps its address.
func (p *Presence) evict(tx *store.Tx, wanted netip.Addr) error {
	r, err := tx.ByKey(holders, wanted.String())
	if err != nil || r == nil {
		return err
	}
	former := r.Str("hostId")
	known, err := of(tx, former)
	if err != nil {
		return err
	}
	if _, up := newest(known, tx.Now()); up {
		return fleet.Errorf(fleet.Conflict, "%s is the address of %s, which is up", wanted, former)
	}
	if err := tx.Remove(holders, r); err != nil {
		return err
	}
	a, err := addressOf(tx, former)
	if err != nil || a.Address != wanted.String() {
		return err
	}
	return tx.Remove(addresses, addresses.Encode(a))
}

// enter puts a host that becomes a node into the groups of its type. Whoever
// takes it out later has his way.
func enter(tx *store.Tx, hostID, nodeType string) error {
	r, err := tx.ByKey(fleet.NodeTypes, nodeType)
	if err != nil {
		return err
	}
	for _, g := range r.Strings("groups") {
		group, err := tx.ByKey(fleet.Groups, fleet.Groups.Key(fleet.Row{"type": fleet.HostGroup, "id": g}))
		if err != nil {
			return err
		}
		if group == nil {
			continue
		}
		if err := tx.Put(fleet.Memberships, fleet.Row{"groupType": fleet.HostGroup, "groupId": g, "objectId": hostID}); err != nil {
			return err
		}
	}
	return nil
}

// free finds an address that nobody has. Where the search begins follows from the
// host's name, so that it seldom takes more than one look, and a database that was
// lost leads to much the same addresses.
func free(tx *store.Tx, plan *node.Plan, hostID string) (netip.Addr, error) {
	h := fnv.New32a()
	h.Write([]byte(hostID))
	room := plan.Room()
	for i := range room {
		a := plan.At((int(h.Sum32()%uint32(room)) + i) % room)
		r, err := tx.ByKey(holders, a.String())
		if err != nil {
			return a, err
		}
		if r == nil {
			return a, nil
		}
	}
	return netip.Addr{}, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "all %d addresses of %s are taken", room, plan.Prefix()),
		"delete hosts that are no more, or give the node type a larger range")
}

func addressOf(tx *store.Tx, hostID string) (a address, err error) {
	r, err := tx.ByKey(addresses, hostID)
	if r != nil {
		addresses.Decode(r, &a)
	}
	return a, err
}

// planOf is the plan of a node type; nil if there is none.
func planOf(tx *store.Tx, name string) (*node.Plan, error) {
	r, err := tx.ByKey(fleet.NodeTypes, name)
	if err != nil || r == nil {
		return nil, err
	}
	var t fleet.NodeType
	fleet.NodeTypes.Decode(r, &t)
	return node.PlanOf(t)
}
