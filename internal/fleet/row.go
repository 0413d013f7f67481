package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Row is an object as data: column name to canonical value, which is nil (no
// value), string, bool, int64, or []any of these. The key "type" holds the
// concrete type of classes that have types. A missing column means "not
// given", which an update leaves alone; nil means "no value".
type Row map[string]any

// Clone copies the row; list values are shared, since canonical values are
// never changed in place.
func (r Row) Clone() Row { return maps.Clone(r) }

// Str is the string in a column, "" if there is none.
func (r Row) Str(name string) string { s, _ := r[name].(string); return s }

// Strings is the list of strings in a column; other elements are left out.
func (r Row) Strings(name string) []string {
	list, _ := r[name].([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Type is the concrete type of a row of class c.
func (c *Class) Type(r Row) string {
	if t := r.Str("type"); t != "" {
		return t
	}
	if len(c.Types) > 0 {
		return c.Types[0]
	}
	return ""
}

// Key is the row's identity as one unambiguous string: the primary key of
// every table. Identity columns joined by ";" with "\" before "\" and ";".
// Open classes have the hash of all their identifying fields.
func (c *Class) Key(r Row) string {
	if c.Open {
		return c.openKey(r)
	}
	var b strings.Builder
	for i, col := range c.Ident() {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(keyEscape.Replace(text(r[col.Name])))
	}
	return b.String()
}

// IdentOf is the identity that a key was made of; it means nothing for open
// classes, whose keys are hashes.
func (c *Class) IdentOf(key string) Row {
	var values []string
	var b strings.Builder
	for i := 0; i < len(key); i++ {
		switch {
		case key[i] == ';':
			values = append(values, b.String())
			b.Reset()
			continue
		case key[i] == '\\' && i+1 < len(key):
			i++
		}
		b.WriteByte(key[i])
	}
	values = append(values, b.String())
	r := Row{}
	for i, col := range c.Ident() {
		if i < len(values) {
			r[col.Name] = values[i]
		}
	}
	return r
}

var keyEscape = strings.NewReplacer(`\`, `\\`, `;`, `\;`)

// openKey hashes everything that is not volatile: a piece of hardware is what
// its fields say it is.
func (c *Class) openKey(r Row) string {
	id := Row{}
	for name, v := range r {
		if col := c.byName[name]; (col == nil || !col.Volatile) && v != nil && name != "type" && name != "ident" {
			id[name] = v
		}
	}
	data, _ := json.Marshal(id) // keys are sorted; values are canonical
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// Ident is the identity as opsi prints it: values joined by ";".
func (c *Class) IdentString(r Row) string {
	var parts []string
	for _, v := range c.IdentValues(r) {
		parts = append(parts, text(v))
	}
	return strings.Join(parts, ";")
}

// IdentValues lists the identity values in column order; for open classes the
// further fields follow by name.
func (c *Class) IdentValues(r Row) []any {
	var vals []any
	for _, col := range c.Ident() {
		vals = append(vals, r[col.Name])
	}
	if c.Open {
		for _, name := range slices.Sorted(maps.Keys(r)) {
			if c.byName[name] == nil && name != "type" && name != "ident" {
				vals = append(vals, r[name])
			}
		}
	}
	return vals
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// Encode turns a struct of the class's Go type into a row. An empty string, a
// nil list and a zero time mean "no value".
func (c *Class) Encode(v any) Row {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	if rv.Type() != c.goType {
		panic(fmt.Sprintf("class %s: encode %s", c.Name, rv.Type()))
	}
	r := Row{}
	for _, col := range c.Columns {
		f := rv.Field(col.field)
		switch col.Kind {
		case String, Time:
			if s := f.String(); s != "" {
				r[col.Name] = s
			} else {
				r[col.Name] = nil
			}
		case Bool:
			r[col.Name] = f.Bool()
		case Int:
			r[col.Name] = f.Int()
		case List:
			list := make([]any, f.Len())
			for i := range list {
				e := f.Index(i)
				if e.Kind() == reflect.Interface {
					e = e.Elem()
				}
				list[i] = e.Interface()
				if e.Kind() == reflect.String {
					list[i] = e.String()
				}
			}
			r[col.Name] = list
		}
	}
	if len(c.Types) > 0 {
		typ := c.Type(Row{"type": rv.FieldByName("Type").String()})
		r["type"] = typ
		for _, col := range c.Columns {
			if !col.Has(typ) {
				delete(r, col.Name)
			}
		}
	}
	return r
}

// Decode fills dst, a pointer to the class's Go type, from a row. Columns
// without a value become zero.
func (c *Class) Decode(r Row, dst any) {
	rv := reflect.ValueOf(dst).Elem()
	if rv.Type() != c.goType {
		panic(fmt.Sprintf("class %s: decode into %s", c.Name, rv.Type()))
	}
	for _, col := range c.Columns {
		f := rv.Field(col.field)
		switch v := r[col.Name].(type) {
		case string:
			f.SetString(v)
		case bool:
			f.SetBool(v)
		case int64:
			f.SetInt(v)
		case []any:
			list := reflect.MakeSlice(f.Type(), 0, len(v))
			for _, e := range v {
				ev := reflect.ValueOf(e)
				if f.Type().Elem().Kind() == reflect.String && ev.Kind() != reflect.String {
					ev = reflect.ValueOf(fmt.Sprint(e))
				}
				list = reflect.Append(list, ev.Convert(f.Type().Elem()))
			}
			f.Set(list)
		default:
			f.SetZero()
		}
	}
	if len(c.Types) > 0 {
		rv.FieldByName("Type").SetString(c.Type(r))
	}
}

// Whole turns the numbers of decoded JSON into int64, the only numbers that rows
// and plain results hold. It changes lists and mappings in place.
func Whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, _ := v.Int64()
		return n
	case []any:
		for i := range v {
			v[i] = Whole(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = Whole(v[k])
		}
	}
	return v
}
