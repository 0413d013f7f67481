package control

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// values converts loose values and keeps the first error.
type values struct {
	section string
	err     error
}

func (v *values) fail(key string, err error) {
	if v.err == nil {
		v.err = fmt.Errorf("%s %s: %w", v.section, key, err)
	}
}

// text is a value of one line.
func (v *values) text(key string, in any) string {
	s := v.lines(key, in)
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		v.fail(key, fmt.Errorf("%q: only one line is allowed, without control characters", s))
	}
	return s
}

// lines is a value of any number of lines.
func (v *values) lines(key string, in any) string {
	switch in := in.(type) {
	case nil:
		return ""
	case string:
		return strings.TrimSpace(tidy(in))
	case raw:
		return strings.TrimSpace(tidy(string(in)))
	}
	v.fail(key, fmt.Errorf("want text in quotes, not %v", in))
	return ""
}

func (v *values) boolean(key string, in any, unset bool) bool {
	switch in := in.(type) {
	case nil:
		return unset
	case bool:
		return in
	case raw:
		switch strings.ToLower(strings.TrimSpace(string(in))) {
		case "":
			return unset
		case "true", "yes", "on", "1":
			return true
		case "false", "no", "off", "0":
			return false
		}
	}
	v.fail(key, fmt.Errorf("want true or false, not %q", fmt.Sprint(in)))
	return false
}

func (v *values) integer(key string, in any) int64 {
	switch in := in.(type) {
	case nil:
		return 0
	case int64:
		return in
	case raw:
		if in == "" {
			return 0
		}
		if n, err := strconv.ParseInt(string(in), 10, 64); err == nil {
			return n
		}
	}
	v.fail(key, fmt.Errorf("want a whole number, not %q", fmt.Sprint(in)))
	return 0
}

// kind is a type by its short or its long name.
func (v *values) kind(key string, in any, long map[string]string) string {
	s := v.text(key, in)
	for short, l := range long {
		if strings.EqualFold(s, short) || strings.EqualFold(s, l) {
			return l
		}
	}
	v.fail(key, fmt.Errorf("unknown type %q", s))
	return ""
}

func (v *values) only(typ, want, key, value string) {
	if typ != want && value != "" {
		v.fail(key, fmt.Errorf("only a %s has one", want))
	}
}

// names is a list of words without empty ones.
func (v *values) names(key string, in any) []string {
	var out []string
	for _, e := range v.list(key, in) {
		if s := strings.TrimSpace(e.(string)); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// word is a value out of a fixed set of lower-case words.
func (v *values) word(key string, in any) string { return strings.ToLower(v.text(key, in)) }

// oneOrList is a list of which the legacy spelling may give one value as it
// stands, commas and all.
func (v *values) oneOrList(key string, in any, many bool) []any {
	s, isRaw := in.(raw)
	if text := strings.TrimSpace(string(s)); isRaw && !many && text != "" && !strings.HasPrefix(text, "[") {
		return []any{strings.Trim(text, `"`)}
	}
	return v.list(key, in)
}

// list is a list of strings. The legacy spelling is JSON, or words between
// commas or on lines of their own.
func (v *values) list(key string, in any) []any {
	switch in := in.(type) {
	case nil:
		return nil
	case raw:
		s := strings.TrimSpace(string(in))
		if s == "" {
			return nil
		}
		if strings.HasPrefix(s, "[") {
			var parsed []any
			d := json.NewDecoder(strings.NewReader(s))
			d.UseNumber()
			if err := d.Decode(&parsed); err != nil || d.More() {
				v.fail(key, fmt.Errorf("want a list such as [\"a\", \"b\"], not %s", s))
				return nil
			}
			return v.list(key, parsed)
		}
		var out []any
		for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == '\n' }) {
			out = append(out, strings.Trim(strings.TrimSpace(word), `"`))
		}
		return out
	case []any:
		out := make([]any, 0, len(in))
		for _, e := range in {
			switch e := e.(type) {
			case string:
				out = append(out, e)
			case bool, int64, json.Number:
				out = append(out, fmt.Sprint(e))
			default:
				v.fail(key, fmt.Errorf("the list cannot hold %v", e))
			}
		}
		return out
	case string, bool, int64:
		return v.list(key, []any{in})
	}
	v.fail(key, fmt.Errorf("want a list, not %v", in))
	return nil
}

var dependForm = regexp.MustCompile(`^([^\s()]+)(?:\s*\(\s*([<>=]+)\s*([^\s()]+)\s*\))?$`)

// depends is a list of "package (>= version)", or, in TOML, of tables with the
// keys package, condition and version.
func (v *values) depends(in any) []Depend {
	var out []Depend
	var words []any
	items, isList := in.([]any)
	if !isList {
		items = v.list("depends", in)
	}
	for _, e := range items {
		if t, ok := e.(map[string]any); ok {
			out = append(out, v.dependTable(t))
		} else {
			words = append(words, e)
		}
	}
	for _, s := range v.names("depends", words) {
		m := dependForm.FindStringSubmatch(s)
		if m == nil {
			v.fail("depends", fmt.Errorf("%q is not of the form: package (>= version)", s))
			continue
		}
		out = append(out, Depend{fleet.ProductID(m[1]), m[2], m[3]})
	}
	return out
}

func (v *values) dependTable(t map[string]any) (d Depend) {
	for key, val := range t {
		switch key {
		case "package":
			d.Package = fleet.ProductID(v.text(key, val))
		case "condition":
			d.Condition = v.text(key, val)
		case "version":
			d.Version = v.text(key, val)
		default:
			v.fail("depends", unknownKey(key, []string{"package", "condition", "version"}))
		}
	}
	return d
}

// unknownKey names the nearest right key.
func unknownKey(key string, right []string) error { return unknown("key", key, right) }

func unknown(what, key string, right []string) error {
	best, distance := "", len(key)/2+1
	for _, r := range right {
		if d := editDistance(strings.ToLower(key), strings.ToLower(r)); d < distance {
			best, distance = r, d
		}
	}
	if best == "" {
		return fmt.Errorf("unknown %s %q, want one of %s", what, key, strings.Join(right, ", "))
	}
	return fmt.Errorf("unknown %s %q, did you mean %q?", what, key, best)
}

// editDistance counts the letters to change, add or drop (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			swap := corner
			if a[i] != b[j] {
				swap++
			}
			corner = row[j+1]
			row[j+1] = min(swap, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
