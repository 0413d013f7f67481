package store

import (
	"database/sql"
	"fmt"
	"iter"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// scan reads the rows that a condition finds; an error is the last that comes.
func (tx *Tx) scan(c *fleet.Class, rest string, args ...any) iter.Seq2[fleet.Row, error] {
	return func(yield func(fleet.Row, error) bool) {
		t := tx.table(c)
		rows, err := tx.query(t.find+rest, args...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		cells, _ := t.room.Get().(*cells)
		if cells == nil {
			cells = t.cells()
		}
		defer t.room.Put(cells)
		for rows.Next() {
			r, err := cells.read(c, rows)
			if ended := tx.caller.Err(); ended != nil {
				err = ended
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, tx.s.failed("read", err))
		}
	}
}

// cells is the room that one row after the other is read into.
type cells struct {
	t     *table
	texts []sql.NullString
	ints  []sql.NullInt64
	dst   []any
}

func (t *table) cells() *cells {
	n := len(t.columns)
	cs := &cells{t: t, texts: make([]sql.NullString, n), ints: make([]sql.NullInt64, n), dst: make([]any, n)}
	for i, name := range t.columns {
		if t.columnType(name) == "BIGINT" {
			cs.dst[i] = &cs.ints[i]
		} else {
			cs.dst[i] = &cs.texts[i]
		}
	}
	return cs
}

// read makes a row of its own of the one that rows stands on.
func (cs *cells) read(c *fleet.Class, rows *sql.Rows) (fleet.Row, error) {
	if err := rows.Scan(cs.dst...); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", c.Name, err)
	}
	r := make(fleet.Row, len(cs.dst)+1)
	typ := ""
	if cs.t.typeAt >= 0 {
		typ = cs.texts[cs.t.typeAt].String
		r[typeColumn] = typ
	}
	for i, name := range cs.t.columns {
		col := c.Column(name)
		switch {
		case name == extraColumn && c.Open:
			extra, err := decodeRow(cs.texts[i].String)
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: %w", c.Name, err)
			}
			for k, v := range extra {
				r[k] = v
			}
		case col == nil || !col.Has(typ):
		case col.Kind == fleet.List:
			list, err := decodeList(cs.texts[i].String)
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: attribute %s: %w", c.Name, name, err)
			}
			r[name] = list
		case col.Kind == fleet.Bool:
			r[name] = nil
			if cs.ints[i].Valid {
				r[name] = cs.ints[i].Int64 != 0
			}
		case col.Kind == fleet.Int:
			r[name] = nil
			if cs.ints[i].Valid {
				r[name] = cs.ints[i].Int64
			}
		default:
			r[name] = nil
			if cs.texts[i].Valid {
				r[name] = cs.texts[i].String
			}
		}
	}
	return r, nil
}
