package control

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// ParseTOML reads the text of a control.toml (opsi 4.3). Unknown keys are
// refused with their line and the nearest right one.
func ParseTOML(text []byte) (*Control, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) {
		return nil, errors.New("it is not valid UTF-8")
	}
	var s sheet
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, tomlError(err)
	}
	return s.control()
}

func tomlError(err error) error {
	if missing, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(missing.Errors) > 0 {
		first := &missing.Errors[0]
		line, _ := first.Position()
		key := first.Key()
		right := sectionNames()
		if len(key) > 1 {
			if f, ok := sectionField(key[0]); ok {
				right = keysOf(sectionType(f))
			}
		}
		what := "key"
		if len(key) == 1 {
			what = "section"
		}
		return fmt.Errorf("line %d: %w", line, unknown(what, key[len(key)-1], right))
	}
	if wrong, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := wrong.Position()
		return fmt.Errorf("line %d: %s", line, strings.TrimPrefix(wrong.Error(), "toml: "))
	}
	return err
}

// TOML prints the control data as a control.toml. The changelog is left out:
// it has a file of its own, changelog.txt.
func (c *Control) TOML() []byte {
	var b bytes.Buffer
	for name, section := range newSheet(c, false).sections() {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		if f, _ := sectionField(name); f.Type.Kind() == reflect.Slice {
			name = "[" + name + "]"
		}
		fmt.Fprintf(&b, "[%s]\n", name)
		for key, value := range keyValues(section) {
			fmt.Fprintf(&b, "%s = %s\n", key, tomlValue(value))
		}
	}
	return b.Bytes()
}

func tomlValue(v any) string {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "\n") {
			return `"""` + "\n" + tomlEscape(v, true) + `"""`
		}
		return `"` + tomlEscape(v, false) + `"`
	case []Depend:
		var items []string
		for _, d := range v {
			item := "{ package = " + tomlValue(string(d.Package))
			if d.Condition != "" {
				item += ", condition = " + tomlValue(d.Condition) + ", version = " + tomlValue(d.Version)
			}
			items = append(items, item+" }")
		}
		return "[" + strings.Join(items, ", ") + "]"
	case []string:
		items := make([]string, len(v))
		for i, s := range v {
			items[i] = `"` + tomlEscape(s, false) + `"`
		}
		return "[" + strings.Join(items, ", ") + "]"
	case []any:
		items := make([]string, len(v))
		for i, e := range v {
			if s, ok := e.(string); ok {
				items[i] = `"` + tomlEscape(s, false) + `"`
			} else {
				items[i] = fmt.Sprint(e)
			}
		}
		return "[" + strings.Join(items, ", ") + "]"
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(v)
}

// tomlEscape writes the inside of a basic string.
func tomlEscape(s string, multiline bool) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n' && multiline:
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
