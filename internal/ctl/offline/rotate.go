package offline

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Rotation says what a next root changes.
type Rotation struct {
	// Role is root or targets: one of its keys is replaced by a new one. Key begins
	// the id of that key; "" is the one that is there longest.
	Role, Key string
	// Online replaces the server's keys, if it is set.
	Online Online
}

// Rotate makes the next root. With neither a role nor online keys it is the same
// again, to count longer. The list is signed anew where it names keys or is signed
// by a replaced one. A key of the list may be lost: then the next root's word for
// the new one is enough.
func (d *Dir) Rotate(r Rotation, ring *Ring, now time.Time) (version int64, err error) {
	if d.void != nil && !d.former {
		return 0, d.voided()
	}
	before := d.Root()
	by, err := d.signers(ring, before, trust.RoleRoot)
	if err != nil {
		return 0, err
	}
	next := copyRoot(before, now)
	list := d.next(now)
	var listKeys []ed25519.PrivateKey
	lost := false
	if r.Role == trust.RoleTargets || r.Online != nil {
		listKeys, err = d.signers(ring, before, trust.RoleTargets)
		lost = r.Role == trust.RoleTargets && fleet.CodeOf(err) == fleet.NotFound
		if err != nil && !lost {
			return 0, err
		}
	}
	var old trust.Key
	if r.Role != "" {
		var made ed25519.PrivateKey
		if old, made, err = d.replace(next, r, ring); err != nil {
			return 0, err
		}
		if r.Role == trust.RoleRoot {
			by = append(by, made)
		} else {
			listKeys = append(listKeys, made)
		}
	}
	if r.Online != nil {
		online, err := r.Online.keys()
		if err != nil {
			return 0, err
		}
		next.Roles[trust.RoleSnapshot] = next.Keys.RoleOf(1, online[trust.RoleSnapshot])
		next.Roles[trust.RoleTimestamp] = next.Keys.RoleOf(1, online[trust.RoleTimestamp])
		list.Keys, list.Delegations = delegate(online[trust.Depot])
	}
	prune(next)
	if lost {
		return next.Version, d.putBoth(next, list, by, listKeys)
	}
	// The list first: signed by old and new keys it counts under both roots.
	if listKeys != nil {
		if err := d.putList(list, listKeys...); err != nil {
			return 0, err
		}
	}
	if err := d.putRoot(next, by...); err != nil {
		return 0, err
	}
	if old != nil {
		err = d.retire(r.Role, old)
	}
	return next.Version, err
}

// putBoth keeps a root, and the list that counts under it alone. Broken off between
// the two it leaves a list of the root before, which the next signature makes good.
func (d *Dir) putBoth(root *trust.Root, list *trust.Targets, by, listKeys []ed25519.PrivateKey) error {
	data, err := trust.Sign(list, listKeys...)
	if err != nil {
		return err
	}
	if err := trust.VerifyBy(trust.RoleTargets, data, root.Keys, root.Roles[trust.RoleTargets]); err != nil {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot sign the list for root %d: %w", root.Version, err),
			"name the lost key with --key; if more are lost than one, bring others with --keys")
	}
	if err := d.putRoot(root, by...); err != nil {
		return err
	}
	return d.keepList(data)
}

func copyRoot(r *trust.Root, now time.Time) *trust.Root {
	next := &trust.Root{Header: header(r.Version+1, now, RootLife), Keys: trust.Keys{}, Roles: map[string]trust.Role{}}
	for id, key := range r.Keys {
		next.Keys[id] = key
	}
	for name, role := range r.Roles {
		next.Roles[name] = trust.Role{KeyIDs: slices.Clone(role.KeyIDs), Threshold: role.Threshold}
	}
	return next
}

// replace puts a new key at the end of a role, in place of an old one.
func (d *Dir) replace(next *trust.Root, r Rotation, ring *Ring) (old trust.Key, made ed25519.PrivateKey, err error) {
	if r.Role != trust.RoleRoot && r.Role != trust.RoleTargets {
		return nil, nil, fleet.Errorf(fleet.Invalid, "cannot replace a key of the role %q: it is root or targets", r.Role)
	}
	role := next.Roles[r.Role]
	at := slices.IndexFunc(role.KeyIDs, func(id string) bool { return strings.HasPrefix(id, r.Key) })
	if at < 0 {
		return nil, nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find the key %q of the role %s", r.Key, r.Role), "the keys are named in: fernwerk trust status")
	}
	old = next.Keys[role.KeyIDs[at]]
	if made, err = ring.make(d.at(keysDir), r.Role); err != nil {
		return nil, nil, err
	}
	public := publicOf(made)
	role.KeyIDs = append(slices.Delete(role.KeyIDs, at, at+1), trust.KeyID(public))
	next.Keys[trust.KeyID(public)] = public
	next.Roles[r.Role] = role
	return old, made, nil
}

// prune takes keys away that no role names.
func prune(r *trust.Root) {
	named := map[string]bool{}
	for _, role := range r.Roles {
		for _, id := range role.KeyIDs {
			named[id] = true
		}
	}
	for id := range r.Keys {
		if !named[id] {
			delete(r.Keys, id)
		}
	}
}
