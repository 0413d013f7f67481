package store

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Position is a point in one database's history. Epoch names the database,
// Tag the one way in which it reached Revision: a restored backup or a cloned
// client that went on differently has another tag there.
type Position struct {
	Epoch    string `json:"epoch"`
	Revision int64  `json:"revision"`
	Tag      string `json:"tag"`
}

// Change is one journaled change of one row.
type Change struct {
	Revision int64
	N        int64 // order within the revision
	Class    string
	Key      string
	Op       string    // "insert", "update", "delete"; another is a note
	Before   fleet.Row // whole for a delete; for an update the changed columns
	After    fleet.Row // whole for an insert; for an update the changed columns

	At      time.Time
	Source  Source
	Actor   string
	Address string
	Request string
}

func (tx *Tx) journal(c *fleet.Class, before, after fleet.Row) error {
	w := tx.write
	if w.changes >= MaxChanges {
		return fleet.Errorf(fleet.TooLarge, "cannot change more than %d objects at once", MaxChanges)
	}
	op, key := "update", ""
	var b, a any
	switch {
	case before == nil:
		op, key, a = "insert", c.Key(after), encodeRow(after)
	case after == nil:
		op, key, b = "delete", c.Key(before), encodeRow(before)
	default:
		key = c.Key(after)
		was, is := fleet.Row{}, fleet.Row{}
		for name := range differing(before, after) {
			was[name], is[name] = before[name], after[name]
		}
		b, a = encodeRow(was), encodeRow(is)
	}
	w.changes++
	return tx.exec(`INSERT INTO "change" ("revision", "n", "class", "key", "op", "before", "after") VALUES (?, ?, ?, ?, ?, ?, ?)`,
		w.revision, w.changes, c.Name, key, op, b, a)
}

// Note journals what happened to an object without changing a row: a login, a
// new password. op says what, and is none of those of rows; details may be nil.
func (tx *Tx) Note(class, key, op string, details fleet.Row) error {
	w := tx.write
	if w.changes >= MaxChanges {
		return fleet.Errorf(fleet.TooLarge, "cannot note more than %d events at once", MaxChanges)
	}
	var after any
	if details != nil {
		after = encodeRow(details)
	}
	w.changes++
	return tx.exec(`INSERT INTO "change" ("revision", "n", "class", "key", "op", "before", "after") VALUES (?, ?, ?, ?, ?, ?, ?)`,
		w.revision, w.changes, class, key, op, nil, after)
}

func (ch Change) note() bool { return ch.Op != "insert" && ch.Op != "update" && ch.Op != "delete" }

// closeRevision writes the revision under which the journal's rows stand.
func (tx *Tx) closeRevision() error {
	w := tx.write
	w.tag = token()
	o := w.origin
	return tx.exec(`INSERT INTO "revision" ("number", "tag", "at", "source", "actor", "address", "request") VALUES (?, ?, ?, ?, ?, ?, ?)`,
		w.revision, w.tag, tx.now.UnixMilli(), string(o.Source), o.Actor, o.Address, o.Request)
}

// Position is the last revision this transaction sees.
func (tx *Tx) Position() (Position, error) {
	var p Position
	row := tx.sql.QueryRowContext(tx.ctx, `SELECT "epoch", "number" FROM "head" WHERE "id" = 1`)
	if err := row.Scan(&p.Epoch, &p.Revision); err != nil {
		return p, tx.s.failed("read", err)
	}
	var err error
	p.Tag, err = tx.Tag(p.Revision)
	return p, err
}

// Knows tells whether p is a point in this database's history whose changes
// since are all still in the journal.
func (tx *Tx) Knows(p Position) (bool, error) {
	here, err := tx.Position()
	if err != nil || p.Epoch != here.Epoch || p.Revision > here.Revision {
		return false, err
	}
	if p.Revision == 0 {
		first, err := tx.Journal(0, "", 1)
		return err == nil && (here.Revision == 0 || len(first) == 1 && first[0].Revision == 1), err
	}
	tag, err := tx.Tag(p.Revision)
	return err == nil && tag != "" && tag == p.Tag, err
}

// Tag is the tag of a revision, "" if it is not, or no longer, in the journal.
func (tx *Tx) Tag(revision int64) (string, error) {
	var tag string
	row := tx.sql.QueryRowContext(tx.ctx, tx.s.db.Dialect.Rebind(`SELECT "tag" FROM "revision" WHERE "number" = ?`), revision)
	if err := row.Scan(&tag); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", tx.s.failed("read", err)
	}
	return tag, nil
}

// Journal returns the changes after a revision in the order they were made, at
// most limit of them (0: all). A class name narrows it, "" does not.
func (tx *Tx) Journal(after int64, class string, limit int) ([]Change, error) {
	where, args := ` WHERE c."revision" > ?`, []any{after}
	if class != "" {
		where += ` AND c."class" = ?`
		args = append(args, class)
	}
	return tx.changes(where+` ORDER BY c."revision", c."n"`, limit, args...)
}

// changes reads the journal's rows, at most limit of them (0: all).
func (tx *Tx) changes(rest string, limit int, args ...any) ([]Change, error) {
	query := `SELECT c."revision", c."n", c."class", c."key", c."op", c."before", c."after",
		r."at", r."source", r."actor", r."address", r."request"
		FROM "change" c JOIN "revision" r ON r."number" = c."revision"` + rest
	if limit > 0 {
		query += fmt.Sprintf(" LIMIT %d", limit)
	}
	rows, err := tx.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Change
	for rows.Next() {
		var ch Change
		var before, after sql.NullString
		var at int64
		if err := rows.Scan(&ch.Revision, &ch.N, &ch.Class, &ch.Key, &ch.Op, &before, &after,
			&at, &ch.Source, &ch.Actor, &ch.Address, &ch.Request); err != nil {
			return nil, fmt.Errorf("cannot read the journal: %w", err)
		}
		ch.At = time.UnixMilli(at).UTC()
		if ch.Before, err = image(before); err == nil {
			ch.After, err = image(after)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the journal: %w", err)
		}
		out = append(out, ch)
	}
	return out, rows.Err()
}

func image(s sql.NullString) (fleet.Row, error) {
	if !s.Valid {
		return nil, nil
	}
	return decodeRow(s.String)
}

// Tracked is an object that changed since a revision: as it was then and as it
// is now; nil means that it was, or is, not there.
type Tracked struct {
	Class    *fleet.Class
	Key      string
	Base     fleet.Row // the snapshot
	Mine     fleet.Row // the working copy
	Revision int64     // of its last change
}

// Since is the seed's modification tracker: every object that was changed here
// after the revision, in the order of its last change, with its state then and
// now. An object that came back to what it was is left out. Its state then is
// what the other side last sent of it, if that came after the revision.
func (tx *Tx) Since(revision int64) ([]Tracked, error) { return tx.Between(revision, math.MaxInt64) }

// Between is Since as it would have been at an earlier time: the changes after
// upTo are not made yet.
func (tx *Tx) Between(revision, upTo int64) ([]Tracked, error) {
	changes, err := tx.Journal(revision, "", 0)
	if err != nil {
		return nil, err
	}
	type object struct{ class, key string }
	found := map[object]*Tracked{} // nil: the other side's row is the last there is
	var order []*Tracked
	for _, ch := range slices.Backward(changes) {
		id, t := object{ch.Class, ch.Key}, tx.s.tables[ch.Class]
		if _, decided := found[id]; decided || ch.Revision > upTo || t == nil || ch.note() { // nil: a class that this program no longer has
			continue
		}
		found[id] = nil
		if ch.Source != Replica {
			found[id] = &Tracked{Class: t.class, Key: ch.Key, Revision: ch.Revision}
			order = append(order, found[id])
		}
	}
	for _, o := range order {
		if o.Mine, err = tx.find(o.Class, o.Key); err != nil {
			return nil, err
		}
		o.Base = o.Mine
	}
	frozen := map[*Tracked]bool{} // the snapshot is reached
	for _, ch := range slices.Backward(changes) {
		o := found[object{ch.Class, ch.Key}]
		switch {
		case o == nil || frozen[o] || ch.note():
		case ch.Revision > upTo:
			o.Mine = Undo(o.Mine, ch)
			o.Base = o.Mine
		case ch.Source == Replica:
			frozen[o] = true
		default:
			o.Base = Undo(o.Base, ch)
		}
	}
	var out []Tracked
	for _, o := range slices.Backward(order) {
		if _, steady := difference(o.Class, o.Base, o.Mine); steady || (o.Base == nil) != (o.Mine == nil) {
			out = append(out, *o)
		}
	}
	return out, nil
}

// Undo takes one change back from a row's state after it.
func Undo(after fleet.Row, ch Change) fleet.Row {
	switch ch.Op {
	case "insert":
		return nil
	case "delete":
		return ch.Before
	}
	if after == nil || ch.note() {
		return after
	}
	before := after.Clone()
	for name, v := range ch.Before {
		before[name] = v
	}
	return before
}

// Redo applies one change to a row's state before it.
func Redo(before fleet.Row, ch Change) fleet.Row {
	switch ch.Op {
	case "insert":
		return ch.After
	case "delete":
		return nil
	}
	if before == nil || ch.note() {
		return before
	}
	after := before.Clone()
	for name, v := range ch.After {
		after[name] = v
	}
	return after
}

// Trim forgets the journal up to a revision. Positions before it are no longer
// known: who comes with one gets everything.
func (tx *Tx) Trim(revision int64) error {
	if err := tx.exec(`DELETE FROM "change" WHERE "revision" <= ?`, revision); err != nil {
		return err
	}
	return tx.exec(`DELETE FROM "revision" WHERE "number" < ?`, revision)
}

// TrimOld forgets at most so many of the oldest revisions that were made before
// a time, and says how many. The last revision stays: it is where everybody
// stands.
func (tx *Tx) TrimOld(before time.Time, most int) (int64, error) {
	var first, last sql.NullInt64
	row := tx.sql.QueryRowContext(tx.ctx, tx.s.db.Dialect.Rebind(fmt.Sprintf(
		`SELECT MIN("number"), MAX("number") FROM (SELECT "number", "at" FROM "revision" ORDER BY "number" LIMIT %d) AS "oldest" WHERE "at" < ?`, most)),
		before.UnixMilli())
	if err := row.Scan(&first, &last); err != nil {
		return 0, fmt.Errorf("cannot read the journal: %w", err)
	}
	if !last.Valid || last.Int64 == first.Int64 {
		return 0, nil // Trim keeps the revision up to which it forgets
	}
	return last.Int64 - first.Int64, tx.Trim(last.Int64)
}

// Touched lists the objects of each class that changed after a revision, and
// says false if there are more than limit changes.
func (tx *Tx) Touched(after int64, limit int) (map[string][]string, bool, error) {
	rows, err := tx.query(fmt.Sprintf(`SELECT DISTINCT "class", "key" FROM "change" WHERE "revision" > ? AND "op" IN ('insert', 'update', 'delete') LIMIT %d`, limit+1), after)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	out, n := map[string][]string{}, 0
	for rows.Next() {
		var class, key string
		if err := rows.Scan(&class, &key); err != nil {
			return nil, false, fmt.Errorf("cannot read the journal: %w", err)
		}
		out[class] = append(out[class], key)
		n++
	}
	return out, n <= limit, rows.Err()
}
