package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxTerms bounds the values of one filter: SQLite takes 32,766 parameters.
const maxTerms = 30_000

// Select returns the rows that match, ordered by key.
func (tx *Tx) Select(c *fleet.Class, f fleet.Filter) ([]fleet.Row, error) {
	return gather(tx.Each(c, f))
}

// Each is Select, a row at a time: memory does not grow with their number. The
// transaction must not be asked for anything else meanwhile.
func (tx *Tx) Each(c *fleet.Class, f fleet.Filter) iter.Seq2[fleet.Row, error] {
	terms, err := c.Terms(f)
	if err != nil {
		return func(yield func(fleet.Row, error) bool) { yield(nil, err) }
	}
	return tx.eachOf(c, terms)
}

func (tx *Tx) selectTerms(c *fleet.Class, terms []fleet.Term) ([]fleet.Row, error) {
	return gather(tx.eachOf(c, terms))
}

func (tx *Tx) eachOf(c *fleet.Class, terms []fleet.Term) iter.Seq2[fleet.Row, error] {
	return func(yield func(fleet.Row, error) bool) {
		where, args, inGo := tx.where(c, terms)
		if len(args) > maxTerms {
			yield(nil, fleet.Errorf(fleet.TooLarge, "cannot filter %s by %d values: the limit is %d", c.Name, len(args), maxTerms))
			return
		}
		for r, err := range tx.scan(c, where+` ORDER BY "key"`+tx.s.db.Dialect.ByBytes(), args...) {
			if err == nil && inGo && !c.Matches(r, terms) {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func gather(rows iter.Seq2[fleet.Row, error]) ([]fleet.Row, error) {
	var out []fleet.Row
	for r, err := range rows {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Get returns the row with this identity, or NotFound.
func (tx *Tx) Get(c *fleet.Class, ident fleet.Row) (fleet.Row, error) {
	row, err := c.Check(ident, fleet.Updating)
	if err != nil {
		return nil, err
	}
	r, err := tx.find(c, c.Key(row))
	if err == nil && r == nil {
		err = fleet.Errorf(fleet.NotFound, "cannot find %s %q", c.Name, c.IdentString(row))
	}
	return r, err
}

// All returns the matching rows of a class as its Go type.
func All[T any](tx *Tx, c *fleet.Class, f fleet.Filter) ([]T, error) {
	rows, err := tx.Select(c, f)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(rows))
	for i, r := range rows {
		c.Decode(r, &out[i])
	}
	return out, nil
}

// ByKey returns the row with this [fleet.Class.Key], or nil.
func (tx *Tx) ByKey(c *fleet.Class, key string) (fleet.Row, error) { return tx.find(c, key) }

// RemoveKey deletes the row with this key, if there is one, with all that it owns.
func (tx *Tx) RemoveKey(c *fleet.Class, key string) error {
	r, err := tx.find(c, key)
	if err != nil || r == nil {
		return err
	}
	return tx.remove(c, r)
}

// find returns the row with this key, or nil.
func (tx *Tx) find(c *fleet.Class, key string) (fleet.Row, error) {
	for r, err := range tx.scan(c, ` WHERE "key" = ?`, key) {
		return r, err
	}
	return nil, nil
}

// where turns a filter's terms into a condition. Terms on the further fields
// of an open class are left to Go.
func (tx *Tx) where(c *fleet.Class, terms []fleet.Term) (cond string, args []any, inGo bool) {
	var ands []string
	for _, t := range terms {
		if t.Column == nil && t.Name != typeColumn {
			inGo = true
			continue
		}
		if t.Column != nil && t.Column.Kind == fleet.List {
			any, values := tx.anyOf(`"value"`, element, t)
			ors := []string{fmt.Sprintf(`"key" IN (SELECT "key" FROM "element" WHERE "class" = ? AND "attribute" = ? AND (%s))`, any)}
			if t.Null {
				ors = append(ors, quote(t.Name)+` = '[]'`)
			}
			ands = append(ands, "("+strings.Join(ors, " OR ")+")")
			args = append(append(args, c.Name, t.Name), values...)
			continue
		}
		any, values := tx.anyOf(quote(t.Name), scalar, t)
		ands, args = append(ands, "("+any+")"), append(args, values...)
	}
	if len(ands) == 0 {
		return "", nil, inGo
	}
	return " WHERE " + strings.Join(ands, " AND "), args, inGo
}

// anyOf is the condition that what an SQL expression holds is one of a term's
// values. An empty text is no value: no pattern matches it.
func (tx *Tx) anyOf(expr string, held func(any) any, t fleet.Term) (cond string, args []any) {
	var ors []string
	if t.Null {
		ors = append(ors, expr+" IS NULL")
	}
	exact := t.Exact
	if isText := t.Column == nil || t.Column.Kind != fleet.Bool && t.Column.Kind != fleet.Int; t.Null && isText {
		exact = append(slices.Clone(exact), "")
	}
	if len(exact) > 0 {
		ors = append(ors, fmt.Sprintf("%s IN (?%s)", expr, strings.Repeat(", ?", len(exact)-1)))
	}
	for _, v := range exact {
		args = append(args, held(v))
	}
	for _, g := range t.Globs {
		ors = append(ors, fmt.Sprintf("%s %s AND %s <> ?", expr, tx.s.db.Dialect.GlobOp(), expr))
		args = append(args, tx.s.db.Dialect.Glob(held(g).(string)), held(""))
	}
	return strings.Join(ors, " OR "), args
}

// scalar is a canonical scalar as its column holds it.
func scalar(v any) any {
	if b, ok := v.(bool); ok {
		if b {
			return int64(1)
		}
		return int64(0)
	}
	return v
}

// element is a list's element as the element table holds it: its kind, then
// its text, so that true and "true" differ.
func element(v any) any {
	switch v := v.(type) {
	case bool:
		return fmt.Sprintf("b:%t", v)
	case int64:
		return fmt.Sprintf("i:%d", v)
	}
	return fmt.Sprintf("s:%v", v)
}

// writeRow writes a row over its former state, nil if there was none, and the
// elements of its lists. Only what differs is written: the indexes of the other
// columns are left alone.
func (tx *Tx) writeRow(c *fleet.Class, before, after fleet.Row) error {
	t := tx.table(c)
	key := c.Key(after)
	var args []any
	var sets []string
	var lists []string
	for _, name := range t.columns {
		col := c.Column(name)
		v := scalar(after[name])
		switch {
		case name == extraColumn && c.Open:
			v = encodeRow(extra(c, after))
			if before != nil && v == encodeRow(extra(c, before)) {
				continue
			}
		case before != nil && same(before[name], after[name]):
			continue
		case col != nil && col.Kind == fleet.List:
			lists = append(lists, name)
			list, _ := after[name].([]any)
			v = encodeList(list)
		}
		sets = append(sets, quote(name)+" = ?")
		args = append(args, v)
	}
	query := t.insert
	switch {
	case before == nil:
		args = append([]any{key}, args...)
	case len(sets) == 0:
		return nil
	default:
		query = "UPDATE " + quote(c.Name) + " SET " + strings.Join(sets, ", ") + ` WHERE "key" = ?`
		args = append(args, key)
	}
	if err := tx.exec(query, args...); err != nil {
		return err
	}
	for _, name := range lists {
		if err := tx.writeElements(c, key, name, before, after); err != nil {
			return err
		}
	}
	return nil
}

// extra is the further fields of an open class's row.
func extra(c *fleet.Class, r fleet.Row) fleet.Row {
	out := fleet.Row{}
	for k, v := range r {
		if c.Column(k) == nil && k != typeColumn {
			out[k] = v
		}
	}
	return out
}

func (tx *Tx) writeElements(c *fleet.Class, key, name string, before, after fleet.Row) error {
	if before != nil {
		if err := tx.exec(`DELETE FROM "element" WHERE "class" = ? AND "key" = ? AND "attribute" = ?`, c.Name, key, name); err != nil {
			return err
		}
	}
	list, _ := after[name].([]any)
	for _, v := range list {
		if err := tx.exec(`INSERT INTO "element" ("class", "key", "attribute", "value") VALUES (?, ?, ?, ?)`, c.Name, key, name, element(v)); err != nil {
			return err
		}
	}
	return nil
}

// encodeRow is a row as canonical JSON: sorted keys, whole numbers.
func encodeRow(r fleet.Row) string {
	data, err := json.Marshal(r)
	if err != nil {
		panic("store: a row that is not canonical: " + err.Error())
	}
	return string(data)
}

func encodeList(list []any) string {
	if len(list) == 0 {
		return "[]"
	}
	data, err := json.Marshal(list)
	if err != nil {
		panic("store: a list that is not canonical: " + err.Error())
	}
	return string(data)
}

func decodeRow(text string) (fleet.Row, error) {
	r := fleet.Row{}
	if text == "" {
		return r, nil
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		return nil, err
	}
	for k, v := range r {
		r[k] = fleet.Whole(v)
	}
	return r, nil
}

func decodeList(text string) ([]any, error) {
	if text == "" || text == "[]" {
		return []any{}, nil
	}
	var list []any
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if err := dec.Decode(&list); err != nil {
		return nil, err
	}
	return fleet.Whole(list).([]any), nil
}
