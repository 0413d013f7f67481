// Package merge decides what a client's offline work means for the server: the
// conflict rules of seed A as one pure function over three rows.
//
// Three states of one object meet. The base is the client's snapshot, what the
// server had at the last synchronisation; mine is the client's working copy
// now; theirs is the server's row now. [Merge] answers what the server shall
// do, and why, in words for the audit log. The server calls it for every
// pushed change, inside the transaction that writes the result; an agent whose
// server is a plain opsi server calls it itself, object by object.
//
// The rules hang on the merge tags of the columns (package fleet):
//
//   - client: inventory, installation status, action result, installed
//     version: the client's data have priority. They travel together: a row in
//     which the client changed anything that lasts brings all of them, so that
//     a repeated installation also counts where its result reads as before.
//   - version: action request and target configuration: the client's value is
//     valid, unless the product's version on the depot changed meanwhile; then
//     the server's.
//   - unchanged: host parameters and product properties reach the server only
//     if they were not changed there meanwhile.
//   - no tag: the server's, always.
//
// Volatile columns never make a conflict; those that the client owns (action
// progress) travel, except that a time stamp alone is not worth a write.
//
// What the seed leaves open is decided so:
//
//   - What was deleted on the server since the snapshot stays deleted, with one
//     exception: data of the client's own (a result, inventory) is never lost,
//     so its row comes back, without the action request that went with the row.
//   - A client creates only rows that are its own in every lasting column, and
//     deletes only such rows of hosts, and only if the server's row still is
//     what the client saw.
//   - An action request that the server set meanwhile, for the same version, is
//     overridden as the seed says; the reason names it, so that it can be
//     logged and set again.
//
// Merging is idempotent: a push that is repeated because its answer was lost
// changes nothing. Who may touch which host's rows, and whether the host still
// exists, is the caller's business.
package merge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Op is what the server shall do with its row.
type Op string

// The operations.
const (
	Keep   Op = "keep"   // leave the server as it is
	Put    Op = "put"    // write Decision.Row
	Delete Op = "delete" // delete the row
)

// Winner is whose value of a column stands.
type Winner string

// The two sides.
const (
	Client Winner = "client"
	Server Winner = "server"
)

// ColumnDecision is the outcome for one column in which client and server
// differ and that the client wanted to write.
type ColumnDecision struct {
	Name   string
	Winner Winner
	Reason string
}

// Decision is the outcome for one object.
type Decision struct {
	Row     fleet.Row // the complete row to write; nil unless Op is Put
	Op      Op
	Columns []ColumnDecision // by name
	Reason  string           // one sentence; holds no secret value
}

// Merge decides over one object of class c. Each row is canonical ([fleet.Class.Check])
// or nil: base nil means that the object was not in the snapshot, mine nil that
// the client deleted it, theirs nil that the server does not have it. A column
// missing in mine was not written by the client. The rows given must be of one
// identity; they are not changed.
//
// depotVersionChanged says that the depot's version of the row's product is not
// the one that it was in the snapshot; it only matters to classes with such
// columns.
func Merge(c *fleet.Class, base, mine, theirs fleet.Row, depotVersionChanged bool) Decision {
	m := merger{class: c, rights: rightsOf(c), base: base, mine: mine, theirs: theirs, moved: depotVersionChanged}
	switch {
	case mine == nil && base == nil:
		return keep("the client has nothing to say about this %s", m.noun())
	case mine == nil:
		return m.deletion()
	case theirs == nil && base == nil:
		return m.creation()
	case theirs == nil:
		return m.deletedThere()
	}
	return m.update()
}

// rights is what a client may do to rows of a class as a whole.
type rights struct{ create, delete bool }

// rightsOf derives them: a row is the client's to create if the class has
// something of the client's and nothing lasting of the server's, and the
// client's to delete if it also belongs to a host.
func rightsOf(c *fleet.Class) rights {
	if c.Local {
		return rights{}
	}
	own, foreign := c.Open, false
	for _, col := range c.Columns {
		own = own || col.Merge != fleet.MergeServer
		foreign = foreign || col.Merge == fleet.MergeServer && !col.Ident && !col.Volatile
	}
	ofHost := slices.ContainsFunc(c.Owners, func(o fleet.Owner) bool { return o.Class == fleet.Hosts.Name })
	return rights{create: own && !foreign, delete: own && !foreign && ofHost}
}

type merger struct {
	class              *fleet.Class
	rights             rights
	base, mine, theirs fleet.Row
	moved              bool // the depot's version of the product
}

func (m *merger) deletion() Decision {
	switch {
	case m.theirs == nil:
		return keep("both sides deleted the %s", m.noun())
	case !m.rights.delete:
		return keep("a client may not delete a %s", m.noun())
	case m.moved && m.hasRule(fleet.MergeVersion):
		return keep("the client deleted the %s, but its version on the depot changed meanwhile, so the server's action request is valid", m.noun())
	}
	for _, col := range m.columns() {
		if !col.Volatile && !unchanged(col, value(col, m.base), value(col, m.theirs)) {
			return keep("the client deleted the %s, but the server changed its %s meanwhile", m.noun(), term(m.class, col))
		}
	}
	return Decision{Op: Delete, Reason: fmt.Sprintf("the client deleted the %s and the server did not change it meanwhile", m.noun())}
}

func (m *merger) creation() Decision {
	if !m.rights.create {
		return keep("a client may not create a %s", m.noun())
	}
	return m.put(m.fresh(), fmt.Sprintf("the client created the %s", m.noun()))
}

func (m *merger) deletedThere() Decision {
	switch {
	case !m.rights.create:
		return keep("the %s was deleted on the server", m.noun())
	case m.hasRule(fleet.MergeUnchanged):
		return keep("the %s was deleted on the server since the snapshot and stays deleted", m.noun())
	case !m.clientHasNews(fleet.MergeClient):
		return keep("the %s was deleted on the server and the client has no new result for it", m.noun())
	}
	return m.put(m.fresh(), fmt.Sprintf("the %s was deleted on the server, but the client's own data are kept, so it is there again", m.noun()))
}

func (m *merger) update() Decision {
	return m.put(m.theirs.Clone(), "")
}

// fresh is a row with the client's identity and otherwise the defaults.
func (m *merger) fresh() fleet.Row {
	row := fleet.Row{}
	for name, v := range m.mine {
		if col := m.class.Column(name); col == nil && name != "ident" || col != nil && col.Ident {
			row[name] = v // identity, type, and an open class's further fields
		}
	}
	for _, col := range m.columns() {
		row[col.Name] = col.Default
	}
	return row
}

// put lays the client's valid values over row and tells whether anything came
// of it. why is the sentence for a row that the server does not have.
func (m *merger) put(row fleet.Row, why string) Decision {
	lasting := m.clientHasNews(fleet.MergeClient, fleet.MergeUnchanged, fleet.MergeVersion)
	d := Decision{Op: Keep}
	if m.theirs == nil {
		d.Op = Put
	}
	for _, col := range m.columns() {
		if _, given := m.mine[col.Name]; !given {
			continue
		}
		ours, there := value(col, m.mine), value(col, row)
		changed := m.base == nil || !same(ours, value(col, m.base))
		if col.Merge == fleet.MergeClient && !col.Volatile && lasting {
			changed = true // results travel together
		}
		if !changed || same(ours, there) {
			continue
		}
		if col.Merge == fleet.MergeServer && col.Volatile {
			continue // lastSeen and the like: no conflict, no news
		}
		winner, reason := m.decide(col, there)
		d.Columns = append(d.Columns, ColumnDecision{col.Name, winner, reason})
		if winner == Client {
			row[col.Name] = ours
			if col.Stamp == "" {
				d.Op = Put
			}
		}
	}
	if d.Op == Keep { // no stamp travels alone
		d.Columns = slices.DeleteFunc(d.Columns, func(cd ColumnDecision) bool { return cd.Winner == Client })
	} else {
		d.Row = row
	}
	d.Reason = cmp.Or(why, m.summary(d.Columns))
	return d
}

// decide applies the column's rule; there is the server's value, or the default
// where the server has no row.
func (m *merger) decide(col *fleet.Column, there any) (Winner, string) {
	name := term(m.class, col)
	switch col.Merge {
	case fleet.MergeClient:
		if isInventory(m.class) {
			return Client, fmt.Sprintf("inventory: the client's data have priority")
		}
		return Client, fmt.Sprintf("%s: the client's data have priority", name)
	case fleet.MergeVersion:
		switch {
		case m.moved:
			return Server, fmt.Sprintf("%s: the product's version on the depot changed meanwhile, so the server's value is valid", name)
		case m.theirs != nil && !unchanged(col, value(col, m.base), there):
			return Client, fmt.Sprintf("%s: the client's value is valid; it overrides %s, which was set on the server meanwhile", name, show(col, there))
		}
		return Client, fmt.Sprintf("%s: the client's value is valid", name)
	case fleet.MergeUnchanged:
		if m.theirs != nil && (m.base == nil || !unchanged(col, value(col, m.base), there)) {
			return Server, fmt.Sprintf("%s: changed on the server meanwhile", name)
		}
		return Client, fmt.Sprintf("%s: not changed on the server meanwhile", name)
	}
	return Server, fmt.Sprintf("%s: only the server may change it", name)
}

// clientHasNews tells whether the client changed a lasting column of one of the
// rules. All columns of an open class but its identity are volatile; there each
// of the client's own counts.
func (m *merger) clientHasNews(rules ...fleet.Merge) bool {
	return slices.ContainsFunc(m.columns(), func(col *fleet.Column) bool {
		_, given := m.mine[col.Name]
		lasts := !col.Volatile || m.class.Open && col.Stamp == ""
		return given && lasts && slices.Contains(rules, col.Merge) &&
			(m.base == nil || !same(value(col, m.mine), value(col, m.base)))
	})
}

// columns are those of the row's concrete type that do not identify it, by
// name, so that a decision reads the same wherever it is made.
func (m *merger) columns() []*fleet.Column {
	typed := m.theirs
	if typed == nil {
		typed = m.mine
	}
	typ := m.class.Type(typed)
	var cols []*fleet.Column
	for _, col := range m.class.Columns {
		if !col.Ident && col.Has(typ) {
			cols = append(cols, col)
		}
	}
	slices.SortFunc(cols, func(a, b *fleet.Column) int { return strings.Compare(a.Name, b.Name) })
	return cols
}

func (m *merger) hasRule(rule fleet.Merge) bool {
	return slices.ContainsFunc(m.class.Columns, func(col *fleet.Column) bool { return col.Merge == rule })
}
