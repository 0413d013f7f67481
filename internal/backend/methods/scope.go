package methods

import (
	"github.com/fernwerk/fernwerk/internal/backend/scope"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// scope is the caller's, nil for the whole fleet. It is read in the transaction
// that it counts for: who is taken out of a group sees nothing of it any more.
func (c *Call) scope(tx *store.Tx) (*scope.Scope, error) {
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
		c.bound, err = scope.Of(tx, roots)
	}
	return c.bound, err
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
		may, err := s.MayChange(tx, class, before, after)
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
		case s != nil && !s.Host(id):
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
	return s.Host, true, nil
}

// SeenHosts are the hosts that the caller may see: of ids, or of all if there are
// none.
func (c *Call) SeenHosts(tx *store.Tx, ids []string) (map[string]bool, error) {
	filter := fleet.Filter{}
	if len(ids) > 0 {
		filter["id"] = ids
	}
	hosts, err := c.SelectVisible(tx, fleet.Hosts, filter)
	seen := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		seen[h.Str("id")] = true
	}
	return seen, err
}
