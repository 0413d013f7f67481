// Package scope is what somebody bound to host groups sees and writes: the
// hosts in these groups and in all below them, with what belongs to them. The
// groups that he is bound to are not his to change, those below are; nothing
// that he does there gives him a host, or a group, that he did not have.
//
// Package methods applies it where rows are read and where they are written.
package scope

import (
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Scope is what one person is bound to.
type Scope struct {
	roots, groups, hosts map[string]bool
}

// Host tells whether a host is in the scope.
func (s *Scope) Host(id string) bool { return s.hosts[id] }

// Hosts are the hosts in the scope, by name.
func (s *Scope) Hosts() []string { return slices.Sorted(maps.Keys(s.hosts)) }

// hostOf is the column with the host that a row is about, "" if there is none.
func hostOf(class *fleet.Class) string {
	if class == fleet.Hosts {
		return "id"
	}
	return class.HostColumn()
}

// Of reads the scope of the groups as the transaction has them.
func Of(tx *store.Tx, roots []string) (*Scope, error) {
	s := &Scope{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	all, err := tx.Select(fleet.Groups, fleet.Filter{"type": fleet.HostGroup})
	if err != nil {
		return nil, err
	}
	below := map[string][]string{}
	exists := map[string]bool{}
	for _, g := range all {
		exists[g.Str("id")] = true
		if parent := g.Str("parentGroupId"); parent != "" {
			below[parent] = append(below[parent], g.Str("id"))
		}
	}
	var add func(id string)
	add = func(id string) {
		if exists[id] && !s.groups[id] { // groups may stand in a circle
			s.groups[id] = true
			for _, child := range below[id] {
				add(child)
			}
		}
	}
	for _, id := range roots {
		s.roots[id] = true
		add(id)
	}
	members, err := tx.Select(fleet.Memberships, fleet.Filter{"groupType": fleet.HostGroup})
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if s.groups[m.Str("groupId")] {
			s.hosts[m.Str("objectId")] = true
		}
	}
	return s, nil
}

// Sees tells whether a row may be seen: it names no host but those of the scope
// and the servers, and no group of others.
func (s *Scope) Sees(class *fleet.Class, r fleet.Row, servers map[string]bool) bool {
	switch {
	case class == fleet.Groups:
		return r.Str("type") == fleet.ProductGroup || s.groups[r.Str("id")]
	case class == fleet.Memberships:
		return r.Str("groupType") == fleet.ProductGroup || s.groups[r.Str("groupId")] && s.hosts[r.Str("objectId")]
	}
	of := hostOf(class)
	for _, col := range class.Columns {
		if col.Name != of && col.Valid != "host" {
			continue
		}
		if id := r.Str(col.Name); id != "" && !s.hosts[id] && !servers[id] {
			return false
		}
	}
	return true
}

// MayChange tells whether a row may become another; nil is a row that is not
// there.
func (s *Scope) MayChange(tx *store.Tx, class *fleet.Class, before, after fleet.Row) (bool, error) {
	switch of := hostOf(class); {
	case class == fleet.Groups:
		return s.mayChangeGroup(tx, before, after)
	case class == fleet.Memberships:
		if after == nil { // whoever may delete a host may take it out of every group
			return before.Str("groupType") == fleet.HostGroup && s.hosts[before.Str("objectId")], nil
		}
		return after.Str("groupType") == fleet.HostGroup && s.groups[after.Str("groupId")] && s.hosts[after.Str("objectId")], nil
	case class == fleet.Hosts && before == nil:
		return false, nil
	case of != "":
		return !slices.ContainsFunc([]fleet.Row{before, after}, func(r fleet.Row) bool { return r != nil && !s.hosts[r.Str(of)] }), nil
	}
	return false, nil // what belongs to all
}

// mayChangeGroup allows groups below those that he is bound to. A new one must
// not adopt what still names it.
func (s *Scope) mayChangeGroup(tx *store.Tx, before, after fleet.Row) (bool, error) {
	if before != nil && (!s.groups[before.Str("id")] || s.roots[before.Str("id")] || before.Str("type") != fleet.HostGroup) {
		return false, nil
	}
	if after == nil {
		return true, nil
	}
	if after.Str("type") != fleet.HostGroup || !s.groups[after.Str("parentGroupId")] {
		return false, nil
	}
	if before != nil {
		return true, nil
	}
	members, err := tx.Select(fleet.Memberships, fleet.Filter{"groupType": fleet.HostGroup})
	if err != nil {
		return false, err
	}
	children, err := tx.Select(fleet.Groups, fleet.Filter{"type": fleet.HostGroup})
	if err != nil {
		return false, err
	}
	id := after.Str("id") // compared here: a filter would read "*" in it
	return !slices.ContainsFunc(members, func(r fleet.Row) bool { return r.Str("groupId") == id }) &&
		!slices.ContainsFunc(children, func(r fleet.Row) bool { return r.Str("parentGroupId") == id }), nil
}
