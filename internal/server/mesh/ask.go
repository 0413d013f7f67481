package mesh

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	plans "github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
)

// Ask answers a host. from is where its request came from.
func (m *Mesh) Ask(ctx context.Context, hostID string, from netip.Addr, req mesh.Request) (out mesh.Answer, err error) {
	hostID = strings.ToLower(hostID)
	m.count.asked.Add(1)
	defer func() {
		if err != nil {
			m.count.refused.Add(1)
		}
	}()
	if err := m.limit(hostID); err != nil {
		return out, err
	}
	if err := req.Check(); err != nil {
		return out, err
	}
	var shall node
	now := m.Now()
	plan := func(tx *store.Tx) error { shall, err = m.shall(tx, hostID, req); return err }
	if err := m.Store.View(ctx, plan); err != nil {
		if code := fleet.CodeOf(err); code == fleet.NotFound || code == fleet.Denied { // it was in the mesh, perhaps, and is no more
			err = errors.Join(err, m.down(ctx, hostID))
		}
		return out, err
	}
	a, err := m.Presence.Address(ctx, hostID)
	if err != nil {
		return out, err
	}
	origin := store.Origin{Actor: "host " + hostID}
	var row node
	write := false
	var signing *certs.Authority
	look := func(tx *store.Tx) error {
		if err := plan(tx); err != nil {
			return err
		}
		ring, err := m.authorities(tx)
		if err != nil {
			return err
		}
		signing = ring.Signing()
		shall.Address = a.String()
		row, err = get(tx, hostID)
		write = row.due(shall, signing, now) || !slices.Equal(row.Places, shall.Places) || row.Seen != shall.Seen
		return err
	}
	if err := m.Store.View(ctx, look); err != nil {
		return out, err
	}
	if write {
		if err := m.Store.Update(ctx, origin, func(tx *store.Tx) error {
			if err := look(tx); err != nil {
				return err
			}
			return m.write(tx, &row, shall, signing, now)
		}); err != nil {
			return out, err
		}
		m.forget()
		select {
		case m.came <- struct{}{}:
		default:
		}
	}
	if err := m.tell(ctx, hostID, req, now); err != nil {
		m.Log.Warn("What a node of the mesh told is not kept", "host", hostID, "error", err)
	}
	network := netip.MustParsePrefix(row.Network)
	out.Every = int(m.Every.Seconds())
	if row.Fingerprint != req.Holds {
		out.Certificate, out.Fingerprint, out.NotAfter = row.Certificate, row.Fingerprint, time.Unix(row.NotAfter, 0).UTC()
		out.Address, out.Groups = netip.PrefixFrom(a, network.Bits()), row.Groups
	}
	if err := m.report(ctx, row, from, req, now); err != nil {
		m.Log.Warn("Presence not told of a node in the mesh", "host", hostID, "error", err)
	}
	signed, tag, err := m.sign(ctx, network)
	if err == nil && tag != req.Tag {
		out.Map = &signed
	}
	return out, err
}

// shall is what the mesh is to know of a host; its address is not filled in.
func (m *Mesh) shall(tx *store.Tx, hostID string, req mesh.Request) (n node, err error) {
	fail := func(err error) (node, error) {
		return n, fleet.Errorf(fleet.CodeOf(err), "cannot let %s into the mesh: %w", hostID, err)
	}
	id, err := m.Identity(tx, hostID)
	if err != nil {
		return fail(err)
	}
	if !id.Counts {
		return fail(fleet.Errorf(fleet.Denied, "its identity does not count"))
	}
	kind, err := tx.ByKey(fleet.NodeTypes, id.NodeType)
	if err != nil {
		return fail(err)
	}
	const hint = "the node type says which tunnels its nodes use: fernwerk node-type set TYPE --tunnel both, or mesh for the mesh alone"
	if kind == nil {
		return fail(fleet.WithHint(fleet.Errorf(fleet.NotFound, "it has no node type"), hint))
	}
	var t fleet.NodeType
	fleet.NodeTypes.Decode(kind, &t)
	if !uses(t) {
		return fail(fleet.WithHint(fleet.Errorf(fleet.NotFound, "its node type %s does not use the mesh, its tunnel is %s", t.ID, t.Tunnel), hint))
	}
	plan, err := plans.PlanOf(t)
	if err == nil && plan == nil {
		err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "its node type %s has no address range", t.ID), "fernwerk node-type set TYPE --range 10.134.0.0/16 --domain DOMAIN")
	}
	if err != nil {
		return fail(err)
	}
	groups := []string{t.ID}
	rows, err := tx.Select(fleet.Memberships, fleet.Filter{"groupType": fleet.HostGroup, "objectId": hostID})
	if err != nil {
		return fail(err)
	}
	for _, r := range rows {
		// A group named like a node type would make one of it.
		if g := r.Str("groupId"); mesh.ValidGroup(g) && !strings.Contains(g, ":") && !slices.Contains(groups, g) {
			if other, err := tx.ByKey(fleet.NodeTypes, g); err == nil && other == nil {
				groups = append(groups, g)
			}
		}
	}
	slices.Sort(groups[1:])
	n = node{HostID: hostID, Network: plan.Prefix().String(), Groups: groups, Key: hex.EncodeToString(req.Key), Joined: id.Joined}
	for _, at := range req.Places {
		if !plan.Prefix().Contains(at.Addr()) { // a tunnel in a tunnel
			n.Places = append(n.Places, at.String())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if row, err := get(tx, hostID); err == nil {
		n.Seen = row.Seen
		if a, err := netip.ParseAddr(row.Address); err == nil && m.seen[a].IsValid() {
			n.Seen = m.seen[a].String()
		}
	}
	return n, nil
}

// uses tells whether nodes of a type are in the mesh.
func uses(t fleet.NodeType) bool { return t.Tunnel == "mesh" || t.Tunnel == "both" }

func get(tx *store.Tx, hostID string) (n node, err error) {
	r, err := tx.ByKey(nodes, hostID)
	if r != nil {
		nodes.Decode(r, &n)
	}
	return n, err
}

// due tells whether a host wants another certificate than it has.
func (n node) due(shall node, signing *certs.Authority, now time.Time) bool {
	half := (n.NotBefore + n.NotAfter) / 2
	return n.Fingerprint == "" || n.Key != shall.Key || n.Joined != shall.Joined || n.Network != shall.Network || n.Address != shall.Address ||
		!slices.Equal(n.Groups, shall.Groups) || now.Unix() >= half || !signing.SignedBy(n.Certificate)
}

// write certifies a host if that is due, and keeps where it is.
func (m *Mesh) write(tx *store.Tx, row *node, shall node, signing *certs.Authority, now time.Time) error {
	if row.due(shall, signing, now) {
		key, err := hex.DecodeString(shall.Key)
		if err != nil {
			return err
		}
		if err := mayCertify(tx, shall.HostID, now); err != nil {
			return err
		}
		network := netip.MustParsePrefix(shall.Network)
		from, until := now.Add(-time.Hour).Truncate(time.Second), now.Add(mesh.Life).Truncate(time.Second)
		text, fingerprint, err := signing.Sign(certs.Node{Name: shall.HostID, Key: key, Groups: shall.Groups, From: from, Until: until,
			Networks: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(shall.Address), network.Bits())}})
		if err != nil {
			return fleet.Errorf(fleet.Invalid, "%w", err)
		}
		m.count.certified.Add(1)
		shall.Certificate, shall.Fingerprint, shall.NotBefore, shall.NotAfter = text, fingerprint, now.Unix(), until.Unix()
		if err := tx.Put(givens, givens.Encode(given{fingerprint, shall.HostID, shall.Address, shall.Joined, shall.NotAfter})); err != nil {
			return err
		}
		if err := tx.Note(fleet.Hosts.Name, shall.HostID, "mesh", fleet.Row{"address": shall.Address, "fingerprint": fingerprint}); err != nil {
			return err
		}
	} else {
		shall.Certificate, shall.Fingerprint, shall.NotBefore, shall.NotAfter = row.Certificate, row.Fingerprint, row.NotBefore, row.NotAfter
	}
	shall.Epoch, shall.Since = row.Epoch, row.Since
	*row = shall
	return tx.Put(nodes, nodes.Encode(*row))
}

// report tells presence that a node is up, or is no more. A node that the hub
// missed has another session when it is back.
func (m *Mesh) report(ctx context.Context, row node, from netip.Addr, req mesh.Request, now time.Time) error {
	if req.Since == 0 {
		return m.down(ctx, row.HostID)
	}
	if row.Epoch == "" || row.Since != req.Since {
		row.Epoch, row.Since = fmt.Sprintf("mesh:%d", now.UnixMilli()), req.Since
		if err := m.keep(ctx, row.HostID, row.Epoch, row.Since); err != nil {
			return err
		}
	}
	m.mu.Lock()
	s := m.up[row.HostID]
	m.mu.Unlock()
	if s != nil && s.epoch == row.Epoch && now.Sub(s.told) < 2*m.Every {
		return nil
	}
	err := m.Presence.Up(ctx, Up{HostID: row.HostID, Epoch: row.Epoch, From: from, Since: now, Until: now.Add(5 * m.Every), LAN: req.LAN})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s == nil || s.epoch != row.Epoch {
		s = &session{epoch: row.Epoch}
		m.up[row.HostID] = s
	}
	s.told = now
	return nil
}

// keep keeps a node's session.
func (m *Mesh) keep(ctx context.Context, hostID, epoch string, since int64) error {
	return m.Store.Update(ctx, store.Origin{Actor: "host " + hostID}, func(tx *store.Tx) error {
		row, err := get(tx, hostID)
		if err != nil || row.HostID == "" {
			return err
		}
		row.Epoch, row.Since = epoch, since
		return tx.Put(nodes, nodes.Encode(row))
	})
}

// down tells presence that a node is up no more.
func (m *Mesh) down(ctx context.Context, hostID string) error {
	var row node
	err := m.Store.View(ctx, func(tx *store.Tx) (err error) { row, err = get(tx, hostID); return err })
	if err == nil && row.Epoch != "" {
		err = m.Presence.Down(ctx, hostID, row.Epoch)
	}
	if err == nil && row.Epoch != "" {
		err = m.keep(ctx, hostID, "", 0)
	}
	if err == nil {
		m.mu.Lock()
		delete(m.up, hostID)
		m.mu.Unlock()
	}
	return err
}
