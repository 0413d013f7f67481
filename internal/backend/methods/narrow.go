package methods

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// SelectVisible returns the rows that match as the caller sees them.
func (c *Call) SelectVisible(tx *store.Tx, class *fleet.Class, f fleet.Filter) ([]fleet.Row, error) {
	var rows []fleet.Row
	for r, err := range c.eachVisible(tx, class, f) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// eachVisible is SelectVisible, a row at a time. What is hidden from the caller
// reads as no value, for the filter too: one that found rows by a secret would
// tell the secret, a letter a question.
func (c *Call) eachVisible(tx *store.Tx, class *fleet.Class, f fleet.Filter) Objects {
	if c.Actor.Role == Administrator || c.Actor.Role == Depot {
		return tx.Each(class, f)
	}
	return func(yield func(fleet.Row, error) bool) {
		terms, err := class.Terms(f)
		asked, some := fleet.Filter(nil), false
		if err == nil {
			asked, some, err = c.narrow(tx, class, f)
		}
		var sees sight
		switch {
		case err != nil || !some:
		case c.asksForItself(class, f):
			sees = func(r fleet.Row) (fleet.Row, bool) { return c.redact(class, r, true), true }
		default:
			sees, err = c.sight(tx, class)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if !some {
			return
		}
		for r, err := range tx.Each(class, asked) {
			if err != nil {
				yield(nil, err)
				return
			}
			seen, visible := sees(r)
			if visible && class.Matches(seen, terms) && !yield(seen, nil) {
				return
			}
		}
	}
}

// fewObjects is up to how many objects their rows are asked for by name: for
// more, reading all is quicker.
const fewObjects = 1000

// narrow makes the filter that the database gets: for a host, and for somebody
// bound to a few, only what may be its own, so that no host has the whole
// fleet's rows read, and for nobody a condition on what is hidden from him. some is false if no row can match.
func (c *Call) narrow(tx *store.Tx, class *fleet.Class, f fleet.Filter) (asked fleet.Filter, some bool, err error) {
	asked = fleet.Filter{}
	for name, v := range f {
		if col := class.Column(name); col == nil || !c.hides(col, false) {
			asked[name] = v
		}
	}
	of := hostOf(class)
	bound, err := c.scope(tx)
	if err != nil {
		return nil, false, err
	}
	if c.Actor.Role != Host && (bound == nil || len(bound.Hosts()) > fewObjects) || of == "" || class == fleet.Memberships { // groups of products are everybody's
		return asked, true, nil
	}
	if c.asksForItself(class, f) {
		return asked, true, nil
	}
	servers, err := c.servers(tx)
	if err != nil {
		return nil, false, err
	}
	only := fleet.Filter{}
	if v, given := f[of]; given {
		only[of] = v
	}
	terms, err := class.Terms(only)
	if err != nil {
		return nil, false, err
	}
	ids := []string{c.Actor.ID}
	if bound != nil {
		ids = bound.Hosts()
	}
	for id := range servers {
		ids = append(ids, id)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !class.Matches(fleet.Row{of: id}, terms) })
	asked[of] = ids
	return asked, len(ids) > 0, nil
}

// asksForItself tells whether a host asks, by its id, for nothing but what is its
// own. That is nearly all that hosts ask for.
func (c *Call) asksForItself(class *fleet.Class, f fleet.Filter) bool {
	of := hostOf(class)
	return c.Actor.Role == Host && of != "" && !slices.Contains(hostMayNotRead, class) && f[of] == c.Actor.ID
}

// hides tells whether the caller may not read a column, of a row that is, or is
// not, its own.
func (c *Call) hides(col *fleet.Column, own bool) bool {
	switch c.Actor.Role {
	case Administrator, Depot:
		return false
	case Host:
		return (col.Secret || col.Private) && !own
	}
	return col.Secret
}

// hostOf is the column with the id of the host that a row is about, "" if there
// is none.
func hostOf(class *fleet.Class) string {
	if class == fleet.Hosts {
		return "id"
	}
	return class.HostColumn()
}

// servers are the ids of the config and depot servers, read once a call.
func (c *Call) servers(tx *store.Tx) (map[string]bool, error) {
	if c.serverIDs != nil {
		return c.serverIDs, nil
	}
	rows, err := tx.Select(fleet.Hosts, fleet.Filter{"type": []string{fleet.OpsiDepotserver, fleet.OpsiConfigserver}})
	if err != nil {
		return nil, err
	}
	c.serverIDs = map[string]bool{}
	for _, r := range rows {
		c.serverIDs[r.Str("id")] = true
	}
	return c.serverIDs, nil
}
