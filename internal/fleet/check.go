package fleet

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limits on what one row may hold; a hostile or broken peer must not fill the
// database through one object.
const (
	MaxText = 1 << 20 // bytes of one string
	MaxList = 10_000  // elements of one list
)

// Mode says how complete a row must be.
type Mode int

// The modes of Check.
const (
	Creating Mode = iota // missing columns get their default, or nil
	Updating             // missing columns stay missing: leave alone
)

// Check makes a row canonical: it refuses unknown columns, types and values,
// converts what clients send in loose form (opsi clients send "true", 1 or
// true), lower-cases ids, and in Creating mode fills the defaults. The row given
// is not changed.
func (c *Class) Check(in Row, mode Mode) (Row, error) {
	out := make(Row, len(c.Columns)+1)
	typ := ""
	if len(c.Types) > 0 {
		typ = c.Type(in)
		if !slices.Contains(c.Types, typ) {
			return nil, Errorf(Invalid, "cannot use %s of type %q: the types are %s", c.Name, typ, strings.Join(c.Types, ", "))
		}
		out["type"] = typ
	}
	for name, v := range in {
		if name == "type" || name == "ident" {
			continue
		}
		col := c.byName[name]
		if col == nil && c.Open {
			cv, err := (&Column{Name: name}).openValue(v)
			if err != nil {
				return nil, Errorf(Invalid, "cannot use %s: attribute %s: %w", c.Name, name, err)
			}
			if cv != nil {
				out[name] = cv
			}
			continue
		}
		if col == nil || !col.Has(typ) {
			return nil, Errorf(Invalid, "cannot use %s: no attribute %q", c.nameFor(typ), name)
		}
		cv, err := col.canonical(v)
		if err != nil {
			return nil, Errorf(Invalid, "cannot use %s: attribute %s: %w", c.nameFor(typ), name, err)
		}
		out[name] = cv
	}
	for _, col := range c.Columns {
		if !col.Has(typ) {
			continue
		}
		if _, given := out[col.Name]; !given && mode == Creating {
			out[col.Name] = col.Default
		}
		if out[col.Name] == nil && mode == Creating && col.Default != nil {
			out[col.Name] = col.Default
		}
		if col.Ident {
			if s, isText := out[col.Name].(string); out[col.Name] == nil || isText && s == "" && col.Valid != "" {
				return nil, Errorf(Invalid, "cannot use %s: attribute %s is missing", c.nameFor(typ), col.Name)
			}
		}
	}
	return out, nil
}

func (c *Class) nameFor(typ string) string {
	if typ != "" {
		return typ
	}
	return c.Name
}

// canonical converts one value; nil stays nil.
func (col *Column) canonical(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch col.Kind {
	case Bool:
		return toBool(v)
	case Int:
		return col.whole(v)
	case List:
		return col.list(v)
	}
	s, err := toText(v)
	if err != nil {
		return nil, err
	}
	if col.Lower {
		s = strings.ToLower(s)
	}
	if s == "" && !col.Ident {
		return s, nil
	}
	if len(col.Allowed) > 0 && !slices.Contains(col.Allowed, s) {
		return nil, fmt.Errorf("%q is not one of %s", s, strings.Join(col.Allowed, ", "))
	}
	if col.Valid != "" && s != "" {
		if err := syntaxes[col.Valid](s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// whole brings a number into the column's range, or refuses it where there is
// only a lower bound.
func (col *Column) whole(v any) (any, error) {
	n, err := Number(v)
	switch {
	case err != nil:
		return nil, err
	case col.Within != nil:
		n = min(max(n, col.Within[0]), col.Within[1])
	case col.Least != nil && n < *col.Least:
		return nil, fmt.Errorf("%d is less than %d", n, *col.Least)
	}
	return n, nil
}

func (col *Column) list(v any) (any, error) {
	var in []any
	switch v := v.(type) {
	case []any:
		in = v
	case []string:
		for _, s := range v {
			in = append(in, s)
		}
	default:
		in = []any{v}
	}
	if len(in) > MaxList {
		return nil, fmt.Errorf("%d elements, the limit is %d", len(in), MaxList)
	}
	out := make([]any, 0, len(in))
	for _, e := range in {
		cv, err := col.openValue(e)
		if err != nil {
			return nil, err
		}
		if cv != nil {
			out = append(out, cv)
		}
	}
	return out, nil
}

// openValue makes a scalar canonical without knowing its column.
func (col *Column) openValue(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64:
		return v, nil
	case string:
		return toText(v)
	case int, int8, int16, int32, uint8, uint16, uint32, uint64, float64, float32, json.Number:
		return toInt(v)
	}
	return nil, fmt.Errorf("cannot hold a %T", v)
}

func toText(v any) (string, error) {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case bool, int64, int, json.Number:
		s = fmt.Sprint(v)
	case float64:
		s = strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return "", fmt.Errorf("wants text, not %T", v)
	}
	if len(s) > MaxText {
		return "", fmt.Errorf("%d bytes, the limit is %d", len(s), MaxText)
	}
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("holds a NUL byte, which PostgreSQL cannot store")
	}
	return strings.ToValidUTF8(s, "\uFFFD"), nil
}

// Truth reads a truth value in the loose forms that clients send.
func Truth(v any) (bool, error) {
	b, err := toBool(v)
	if err != nil {
		return false, err
	}
	return b.(bool), nil
}

// Number reads a whole number in the loose forms that clients send.
func Number(v any) (int64, error) {
	n, err := toInt(v)
	if err != nil {
		return 0, err
	}
	return n.(int64), nil
}

func toBool(v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(v) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
	case int64, int, float64, json.Number, uint8, int8:
		if n, err := toInt(v); err == nil && (n == int64(0) || n == int64(1)) {
			return n == int64(1), nil
		}
	}
	return nil, fmt.Errorf("%v is neither true nor false", v)
}

func toInt(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case int:
		return int64(v), nil
	case int8:
		return int64(v), nil
	case int16:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case uint8:
		return int64(v), nil
	case uint16:
		return int64(v), nil
	case uint32:
		return int64(v), nil
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), nil
		}
	case float32:
		return toInt(float64(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil
		}
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case json.Number:
		return toInt(v.String())
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%v is not a whole number", v)
}
