package methods

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// scope is what somebody bound to host groups sees and writes: the hosts in
// these groups and in all below them. The groups that he is bound to are not
// his to change, those below are.
type scope struct {
	roots, groups, hosts map[string]bool
}

// scope is the caller's, nil for the whole fleet. It is read in the transaction
// that it counts for: who is taken out of a group sees nothing of it any more.
func (c *Call) scope(tx *store.Tx) (*scope, error) {
	if c.s.ports.Accounts == nil || c.Actor.Role != Operator && c.Actor.Role != Reader {
		return nil, nil
	}
	if c.scopeOf == tx {
		return c.bound, nil
	}
	roots, err := c.s.ports.Accounts.Groups(tx, c.Actor)
	if err != nil {
		return nil, err
	}
	c.scopeOf, c.bound = tx, nil
	if len(roots) > 0 {
		c.bound, err = scopeOf(tx, roots)
	}
	return c.bound, err
}

func scopeOf(tx *store.Tx, roots []string) (*scope, error) {
	s := &scope{map[string]bool{}, map[string]bool{}, map[string]bool{}}
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

// sees tells whether a row may be seen: it names no host but those of the scope
// and the servers, and no group of others.
func (s *scope) sees(class *fleet.Class, r fleet.Row, servers map[string]bool) bool {
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

// guard judges every change of a call's transaction, whatever the method is: a
// method that is new need not think of it.
func (c *Call) guard(tx *store.Tx) (store.Guard, error) {
	s, err := c.scope(tx)
	if err != nil || s == nil && c.s.ports.Accounts == nil {
		return nil, err
	}
	return func(class *fleet.Class, before, after fleet.Row) error {
		if class == fleet.Users && c.s.ports.Accounts != nil {
			return c.s.ports.Accounts.Changing(tx, before, after)
		}
		if s == nil {
			return nil
		}
		may, err := s.mayChange(tx, class, before, after)
		if err == nil && !may {
			r := after
			if r == nil {
				r = before
			}
			err = fleet.Errorf(fleet.Denied, "cannot change %s %q: it is outside the groups of %s %s", class.Name, class.IdentString(r), c.Actor.Role, c.Actor.ID)
		}
		return err
	}, nil
}

func (s *scope) mayChange(tx *store.Tx, class *fleet.Class, before, after fleet.Row) (bool, error) {
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
func (s *scope) mayChangeGroup(tx *store.Tx, before, after fleet.Row) (bool, error) {
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

// hostParameters are the names of parameters that name hosts, in opsi's methods
// and ours.
var hostParameters = []string{"clientId", "clientIds", "client_ids", "hostId", "hostIds", "host_ids", "host"}

// mayName refuses arguments that name hosts outside the caller's scope.
func (c *Call) mayName() error {
	var ids []string
	for _, name := range hostParameters {
		if named, err := c.Texts(name); err == nil { // else no names: the method says what it wants
			ids = append(ids, named...)
		}
	}
	if len(ids) == 0 || c.Actor.Role == Host { // a host may name servers, which each method knows better
		return nil
	}
	return c.About(ids...)
}

// About refuses to speak of hosts other than the caller's own: for a host
// itself, for somebody bound to groups the hosts in them.
func (c *Call) About(ids ...string) error {
	if c.Actor.Role == Administrator || c.Actor.Role == Depot {
		return nil
	}
	return c.View(func(tx *store.Tx) error { return c.AboutIn(tx, ids...) })
}

// AboutIn is About inside a transaction.
func (c *Call) AboutIn(tx *store.Tx, ids ...string) error {
	s, err := c.scope(tx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		switch {
		case c.Actor.Role == Host && id != c.Actor.ID:
			return fleet.Errorf(fleet.Denied, "cannot call %s for %s: host %s may only ask about itself", c.Method.Name, id, c.Actor.ID)
		case s != nil && !s.hosts[id]:
			return fleet.Errorf(fleet.Denied, "cannot call %s for %s: it is not in the groups of %s %s", c.Method.Name, id, c.Actor.Role, c.Actor.ID)
		}
	}
	return nil
}

// InScope tells which hosts the caller may know of; bound is false for who may
// know of all.
func (c *Call) InScope(tx *store.Tx) (knows func(host string) bool, bound bool, err error) {
	s, err := c.scope(tx)
	if err != nil || s == nil {
		return func(string) bool { return true }, false, err
	}
	return func(host string) bool { return s.hosts[host] }, true, nil
}
