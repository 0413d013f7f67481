package conf

import (
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// The values of keys after inheritance and placeholders. Everything was checked
// by Load, so that they cannot fail; asking for a key that is not in [Keys] is
// a mistake in the program and panics.

// String is the value of any key as text.
func (s *Settings) String(section, key string) string {
	_, value := s.value(name{section, key})
	return value
}

// List returns a list's values.
func (s *Settings) List(section, key string) []string { return parseList(s.String(section, key)) }

// Bool is the value of a boolean key.
func (s *Settings) Bool(section, key string) bool {
	b, _ := parseBool(s.String(section, key))
	return b
}

// Int is the value of an integer key, in the key's unit.
func (s *Settings) Int(section, key string) int64 {
	n, _ := parseInt(s.String(section, key))
	return n
}

// value finds where a key's value stands, and the value.
func (s *Settings) value(n name) (name, string) {
	if _, err := find(n.section, n.key); err != nil {
		panic(fmt.Sprintf("internal error: configuration [%s] %s: %v", n.section, n.key, err))
	}
	at := n
	for _, section := range s.line(n.section) {
		if from := (name{section, n.key}); s.lends(n.section, from) {
			at = from
			break
		}
	}
	value, _ := s.expand(at, s.raw(at), nil)
	return at, value
}

// Explanation tells why a key has its value.
type Explanation struct {
	Section, Key string
	Value        string // placeholders replaced
	Written      string // as it was written
	From         string // the section that it stands in; another one when inherited
	Layer        Layer  // BuiltIn for defaults
	Line         int    // in the file or the built-in text; 0 for host parameters and a key's own default
	Hides        []Hidden
	Doc          string
}

// Hidden is a value that does not count because a later layer has another.
type Hidden struct {
	Layer Layer
	Line  int
	Value string
}

// Explain tells which layer won.
func (s *Settings) Explain(section, key string) (Explanation, error) {
	k, err := find(section, key)
	if err != nil {
		return Explanation{}, fleet.Errorf(fleet.NotFound, "cannot explain [%s] %s: %w", section, key, err)
	}
	at, value := s.value(name{section, key})
	e := Explanation{Section: section, Key: key, Value: value, Written: s.raw(at), From: at.section, Layer: BuiltIn, Doc: k.Doc}
	if all := s.values[at]; len(all) > 0 {
		last := len(all) - 1
		e.Layer, e.Line = all[last].layer, all[last].line
		for _, o := range all[:last] {
			e.Hides = append(e.Hides, Hidden{o.layer, o.line, o.value})
		}
	}
	return e, nil
}

func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s = %s: ", e.Section, e.Key, e.Value)
	switch {
	case e.Layer == BuiltIn && e.Line == 0:
		b.WriteString("default")
	case e.Layer == FromParameter:
		fmt.Fprintf(&b, "host parameter %s%s.%s", parameterPrefix, e.From, e.Key)
	default:
		fmt.Fprintf(&b, "%s line %d", e.Layer, e.Line)
	}
	if e.From != e.Section {
		fmt.Fprintf(&b, ", inherited from [%s]", e.From)
	}
	for _, h := range e.Hides {
		fmt.Fprintf(&b, "; instead of %q (%s line %d)", h.Value, h.Layer, h.Line)
	}
	return b.String()
}
