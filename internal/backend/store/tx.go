package store

import (
	"context"
	"database/sql"
	"iter"
	"reflect"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Tx is one transaction. It is good until the function that got it returns,
// and serves one goroutine.
type Tx struct {
	ctx    context.Context // of statements
	caller context.Context // who no longer listens once it ended
	s      *Store
	sql    *sql.Tx // nil in a Look
	asked  bool    // in a Look
	now    time.Time
	write  *writing // nil in a View

	own own
}

// writing is the part of a Tx that only an Update has.
type writing struct {
	origin   Origin
	revision int64
	tag      string
	changes  int
	topics   []string // to wake after the commit
	guard    Guard
}

// Guard judges a change before it is made; nil stands for a row that is not
// there. An error refuses the transaction.
type Guard func(c *fleet.Class, before, after fleet.Row) error

// Guard has every further change of the transaction judged, except those of
// [fleet.Class.Local] classes. Whoever writes on somebody's behalf is held to
// what that one may do, however it goes about it.
func (tx *Tx) Guard(g Guard) { tx.write.guard = g }

// Unguarded runs fn without the guard: for what a rule of ours demands, not the
// caller.
func (tx *Tx) Unguarded(fn func() error) error {
	was := tx.write.guard
	tx.write.guard = nil
	defer func() { tx.write.guard = was }()
	return fn()
}

func (tx *Tx) judge(c *fleet.Class, before, after fleet.Row) error {
	if tx.write.guard == nil || c.Local {
		return nil
	}
	return tx.write.guard(c, before, after)
}

// Now is the transaction's time, in UTC: the same for all it writes.
func (tx *Tx) Now() time.Time { return tx.now }

// Stamp is Now as a Time column holds it.
func (tx *Tx) Stamp() string { return tx.now.Format(time.DateTime) }

func (tx *Tx) query(query string, args ...any) (*sql.Rows, error) {
	var rows *sql.Rows
	var err error
	if tx.sql == nil {
		if tx.asked {
			panic("store: a Look asks once")
		}
		tx.asked = true
	}
	if stmt := tx.prepared(query, len(args)); stmt != nil {
		rows, err = stmt.QueryContext(tx.ctx, args...)
	} else if query = tx.s.db.Dialect.Rebind(query); tx.sql == nil {
		rows, err = tx.s.db.Read.QueryContext(tx.ctx, query, args...)
	} else {
		rows, err = tx.sql.QueryContext(tx.ctx, query, args...)
	}
	if err != nil {
		return nil, tx.s.failed("read", err)
	}
	return rows, nil
}

func (tx *Tx) exec(query string, args ...any) error {
	var err error
	if stmt := tx.prepared(query, len(args)); stmt != nil {
		_, err = stmt.ExecContext(tx.ctx, args...)
	} else {
		_, err = tx.sql.ExecContext(tx.ctx, tx.s.db.Dialect.Rebind(query), args...)
	}
	if err != nil {
		return tx.s.failed("write to", err)
	}
	return nil
}

func (tx *Tx) table(c *fleet.Class) *table {
	t := tx.s.tables[c.Name]
	if t == nil || t.class != c {
		panic("store: class " + c.Name + " was not given to Open")
	}
	return t
}

// Put creates a row or replaces it whole.
func (tx *Tx) Put(c *fleet.Class, r fleet.Row) error {
	row, err := c.Check(r, fleet.Creating)
	if err != nil {
		return err
	}
	before, err := tx.find(c, c.Key(row))
	if err != nil {
		return err
	}
	return tx.put(c, before, row)
}

// Patch changes the columns that r holds of an existing row. A column that is
// nil there is emptied. Without the row the error is NotFound. The type stays:
// it decides which columns there are.
func (tx *Tx) Patch(c *fleet.Class, r fleet.Row) error {
	typed, err := tx.typed(c, r)
	if err != nil {
		return err
	}
	row, err := c.Check(typed, fleet.Updating)
	if err != nil {
		return err
	}
	before, err := tx.find(c, c.Key(row))
	if err != nil {
		return err
	}
	if before == nil {
		return fleet.Errorf(fleet.NotFound, "cannot change %s %q: there is none", c.Name, c.IdentString(row))
	}
	if before["type"] != row["type"] {
		return fleet.Errorf(fleet.Conflict, "cannot change %s %q: it is a %s, not a %s", c.Name, c.IdentString(row), before["type"], row["type"])
	}
	after := before.Clone()
	for name, v := range row {
		if v == nil && isList(c, name) {
			v = []any{}
		}
		after[name] = v
	}
	return tx.put(c, before, after)
}

// typed adds the type of the existing row to one that comes without it.
func (tx *Tx) typed(c *fleet.Class, r fleet.Row) (fleet.Row, error) {
	if len(c.Types) == 0 || r["type"] != nil {
		return r, nil
	}
	ident := fleet.Row{}
	for _, col := range c.Ident() {
		ident[col.Name] = r[col.Name]
	}
	ident, err := c.Check(ident, fleet.Updating)
	if err != nil {
		return nil, err
	}
	before, err := tx.find(c, c.Key(ident))
	if err != nil || before == nil {
		return r, err
	}
	r = r.Clone()
	r["type"] = before["type"]
	return r, nil
}

func isList(c *fleet.Class, name string) bool {
	col := c.Column(name)
	return col != nil && col.Kind == fleet.List
}

// put writes a whole canonical row over its former state and journals the
// difference. Equal rows are left alone, so that repeating a write is free and
// never looks like a change.
func (tx *Tx) put(c *fleet.Class, before, after fleet.Row) error {
	if tx.write == nil {
		panic("store: write in a View")
	}
	local := tx.write.origin.Source == Local
	if local {
		keepStamps(c, before, after)
	}
	// Judged even if nothing changes: who may not write shall not learn by
	// writing what is there.
	if err := tx.judge(c, before, after); err != nil {
		return err
	}
	changed, steady := difference(c, before, after)
	if before != nil && !changed {
		return nil
	}
	if local {
		tx.stamp(c, before, after)
	}
	if err := tx.writeRow(c, before, after); err != nil {
		return err
	}
	if c.Local || before != nil && !steady {
		return nil // bookkeeping and volatile columns are not history
	}
	return tx.journal(c, before, after)
}

// keepStamps fills in the stamps that a writer did not give: it never does.
func keepStamps(c *fleet.Class, before, after fleet.Row) {
	for _, col := range c.Columns {
		if col.Stamp != "" && col.Has(c.Type(after)) && before[col.Name] != nil && after[col.Name] == nil {
			after[col.Name] = before[col.Name]
		}
	}
}

func (tx *Tx) stamp(c *fleet.Class, before, after fleet.Row) {
	for _, col := range c.Columns {
		if !col.Has(c.Type(after)) {
			continue
		}
		if col.Stamp == "write" || col.Stamp == "create" && before == nil && after[col.Name] == nil {
			after[col.Name] = tx.Stamp()
		}
	}
}

// difference tells whether anything differs, and whether a column that is not
// volatile does.
func difference(c *fleet.Class, a, b fleet.Row) (changed, steady bool) {
	for name := range differing(a, b) {
		changed = true
		if col := c.Column(name); col == nil || !col.Volatile {
			return true, true
		}
	}
	return changed, false
}

// differing are the columns in which two rows differ.
func differing(a, b fleet.Row) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name, v := range a {
			if !same(v, b[name]) && !yield(name) {
				return
			}
		}
		for name, v := range b {
			if _, both := a[name]; !both && v != nil && !yield(name) {
				return
			}
		}
	}
}

// same tells whether two canonical values are equal.
func same(a, b any) bool {
	_, listA := a.([]any)
	_, listB := b.([]any)
	if listA || listB {
		return reflect.DeepEqual(a, b)
	}
	return a == b
}

// Delete removes the rows that match, with all that they own, and says how
// many matched.
func (tx *Tx) Delete(c *fleet.Class, f fleet.Filter) (int, error) {
	rows, err := tx.Select(c, f)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		if err := tx.remove(c, r); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// Remove deletes the row with this identity, if there is one.
func (tx *Tx) Remove(c *fleet.Class, ident fleet.Row) error {
	r, err := tx.find(c, c.Key(ident))
	if err != nil || r == nil {
		return err
	}
	return tx.remove(c, r)
}

func (tx *Tx) remove(c *fleet.Class, r fleet.Row) error {
	if tx.write == nil {
		panic("store: delete in a View")
	}
	if err := tx.judge(c, r, nil); err != nil {
		return err
	}
	for _, o := range tx.table(c).owned {
		class := tx.s.tables[o.class].class
		var terms []fleet.Term // exact: an id may hold a "*"
		for own, theirs := range o.pairs {
			v := r[theirs]
			if theirs == typeColumn {
				v = c.Type(r)
			}
			terms = append(terms, fleet.Term{Column: class.Column(own), Name: own, Exact: []any{v}})
		}
		owned, err := tx.selectTerms(class, terms)
		if err != nil {
			return err
		}
		for _, child := range owned {
			if err := tx.remove(class, child); err != nil {
				return err
			}
		}
	}
	key := c.Key(r)
	if err := tx.exec(`DELETE FROM `+quote(c.Name)+` WHERE "key" = ?`, key); err != nil {
		return err
	}
	if err := tx.exec(`DELETE FROM "element" WHERE "class" = ? AND "key" = ?`, c.Name, key); err != nil {
		return err
	}
	if c.Local {
		return nil
	}
	return tx.journal(c, r, nil)
}
