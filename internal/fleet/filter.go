package fleet

import (
	"slices"
	"strings"
)

// Filter asks for rows: column name to a value, or to a list of values of
// which one must match. "*" in a string stands for any text. nil and "" match
// rows without a value. The column "type" asks for types; as with opsi's classes
// one that others are made of stands for them too.
//
// Comparison is by bytes, upper and lower case differ; ids are kept in lower
// case and their filter values are lowered. A list column matches if one of
// its elements does. This meaning is the same on every engine; [Class.Matches]
// is its definition.
type Filter map[string]any

// Term is one condition of a checked filter.
type Term struct {
	Column *Column  // nil for "type" and for the further fields of open classes
	Name   string   // the column's name
	Null   bool     // rows without a value match
	Exact  []any    // canonical values, one of which must be equal
	Globs  []string // patterns with at least one "*"
}

// Terms checks a filter and makes it canonical, in a fixed order. An empty
// list of values asks for nothing: opsi clients send [] for "any".
func (c *Class) Terms(f Filter) ([]Term, error) {
	var terms []Term
	for name, v := range f {
		values := Elements(v)
		if v == nil {
			values = []any{nil} // asks for rows without a value
		}
		if len(values) == 0 {
			continue
		}
		t := Term{Name: name, Column: c.byName[name]}
		switch {
		case name == "type":
			if len(c.Types) == 0 {
				continue
			}
			for _, v := range values {
				if v == nil || v == "" || v == c.base() {
					t = Term{}
					break
				}
				t.add(v)
				if v == OpsiDepotserver { // a config server is one
					t.add(OpsiConfigserver)
				}
			}
			if t.Name == "" {
				continue
			}
		case name == "ident":
			continue
		case t.Column == nil && !c.Open:
			return nil, Errorf(Invalid, "cannot filter %s: no attribute %q", c.Name, name)
		default:
			for _, v := range values {
				if err := t.addChecked(v); err != nil {
					return nil, Errorf(Invalid, "cannot filter %s: attribute %s: %w", c.Name, name, err)
				}
			}
		}
		terms = append(terms, t)
	}
	slices.SortFunc(terms, func(a, b Term) int { return strings.Compare(a.Name, b.Name) })
	return terms, nil
}

// base is opsi's name of what all types of the class are, such as "Host".
func (c *Class) base() string { return strings.ToUpper(c.Name[:1]) + c.Name[1:] }

func (t *Term) add(v any) {
	if s, ok := v.(string); ok && strings.Contains(s, "*") {
		t.Globs = append(t.Globs, s)
		return
	}
	t.Exact = append(t.Exact, v)
}

func (t *Term) addChecked(v any) error {
	if v == nil || v == "" {
		t.Null = true
		return nil
	}
	if t.Column == nil {
		cv, err := (&Column{}).openValue(v)
		if err == nil {
			t.add(cv)
		}
		return err
	}
	var err error
	switch t.Column.Kind {
	case Bool:
		v, err = toBool(v)
	case Int:
		v, err = toInt(v)
	case List:
		v, err = t.Column.openValue(v)
	default:
		var s string
		if s, err = toText(v); err == nil {
			if t.Column.Lower {
				s = strings.ToLower(s)
			}
			v = s
		}
	}
	if err == nil {
		t.add(v)
	}
	return err
}

// Elements are the values of a list in any form that clients send; one value is
// a list of one, nil is none.
func Elements(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out
	}
	return []any{v}
}

// Matches tells whether a canonical row meets all terms.
func (c *Class) Matches(r Row, terms []Term) bool {
	for _, t := range terms {
		v := r[t.Name]
		if t.Name == "type" {
			v = c.Type(r)
		}
		if !t.matches(v) {
			return false
		}
	}
	return true
}

func (t *Term) matches(v any) bool {
	if list, ok := v.([]any); ok {
		if len(list) == 0 {
			return t.Null
		}
		return slices.ContainsFunc(list, t.matches)
	}
	if v == nil || v == "" {
		return t.Null
	}
	if slices.Contains(t.Exact, v) {
		return true
	}
	s, ok := v.(string)
	return ok && slices.ContainsFunc(t.Globs, func(g string) bool { return Glob(g, s) })
}

// Glob matches s against a pattern in which "*" stands for any text and
// everything else for itself.
func Glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
