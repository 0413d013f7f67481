package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// ParseLegacy reads the text of a `control` file:
//
//	[Product]
//	id: firefox
//	description: A browser.
//	 A line that starts with a blank continues the value.
//
// Lines that start with ";" or "#" are comments, everything after [Changelog]
// is text. Names of sections, keys, types and actions are taken in any case, as
// opsi does. Text that is not UTF-8 is taken for Windows-1252, the western
// editors' way (and, for all that matters, ISO 8859-1). Errors name the line,
// unknown keys the nearest right one.
func ParseLegacy(text []byte) (*Control, error) {
	var p legacyParser
	for i, line := range strings.Split(decoded(text), "\n") {
		if err := p.line(strings.TrimRight(line, " \t\r")); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	p.sheet.Changelog = strings.Join(p.changelog, "\n")
	return p.sheet.control()
}

type legacyParser struct {
	sheet     sheet
	section   reflect.Value // the struct of the current section
	value     reflect.Value // the key that a continuation line would extend
	blank     int           // empty lines since then
	inLog     bool
	changelog []string
}

// header returns the section that a line opens.
func header(line string) (name string, ok bool) {
	name, ok = strings.CutPrefix(line, "[")
	if ok {
		name, ok = strings.CutSuffix(name, "]")
	}
	return strings.TrimSpace(name), ok
}

// opens is true for a line that ends the changelog.
func opens(line string) bool {
	name, ok := header(line)
	_, known := sectionField(name)
	return ok && (known || strings.EqualFold(name, "Changelog"))
}

func (p *legacyParser) line(line string) error {
	if p.inLog && !opens(line) {
		p.changelog = append(p.changelog, line)
		return nil
	}
	if line == "" {
		p.blank++
		return nil
	}
	if line[0] == ' ' || line[0] == '\t' {
		return p.extend(line[1:])
	}
	p.blank = 0
	if line[0] == ';' || line[0] == '#' {
		return nil
	}
	if name, ok := header(line); ok {
		return p.open(name)
	}
	key, value, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("%q is neither a section nor of the form: key: value", line)
	}
	return p.set(strings.TrimSpace(key), strings.TrimSpace(value))
}

func (p *legacyParser) open(name string) error {
	p.value, p.inLog = reflect.Value{}, false
	if strings.EqualFold(name, "Changelog") {
		if p.changelog != nil {
			return errors.New("there is a second [Changelog]")
		}
		p.inLog, p.changelog = true, []string{}
		return nil
	}
	f, ok := sectionField(name)
	if !ok {
		return unknown("section", name, sectionNames())
	}
	v := reflect.ValueOf(&p.sheet).Elem().FieldByIndex(f.Index)
	if v.Kind() == reflect.Slice {
		v.Grow(1)
		v.SetLen(v.Len() + 1)
		p.section = v.Index(v.Len() - 1)
		return nil
	}
	if !v.IsNil() {
		return fmt.Errorf("there is a second [%s]", f.Name)
	}
	v.Set(reflect.New(sectionType(f)))
	p.section = v.Elem()
	return nil
}

func (p *legacyParser) set(key, value string) error {
	if !p.section.IsValid() {
		return errors.New("a section such as [Product] must come first")
	}
	for f, v := range p.section.Fields() {
		if !strings.EqualFold(f.Tag.Get("toml"), key) {
			continue
		}
		if !v.IsNil() {
			return fmt.Errorf("%q is given twice in this section", key)
		}
		v.Set(reflect.ValueOf(raw(value)))
		p.value = v
		return nil
	}
	return unknownKey(key, keysOf(p.section.Type()))
}

// extend adds a continuation line to the last value; empty lines before it
// belong to the value.
func (p *legacyParser) extend(line string) error {
	if !p.value.IsValid() {
		return errors.New("a line that starts with a blank continues a value, but there is none")
	}
	v := p.value.Interface().(raw)
	p.value.Set(reflect.ValueOf(v + raw(strings.Repeat("\n", p.blank+1)+line)))
	p.blank = 0
	return nil
}

// Legacy prints the control data as a `control` file.
func (c *Control) Legacy() ([]byte, error) {
	var b bytes.Buffer
	s := newSheet(c, true)
	for name, section := range s.sections() {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[%s]\n", name)
		for key, value := range keyValues(section) {
			b.WriteString(strings.TrimRight(key+": "+legacyValue(value), " ") + "\n")
		}
	}
	if s.Changelog == "" {
		return b.Bytes(), nil
	}
	for line := range strings.SplitSeq(s.Changelog, "\n") {
		if opens(line) {
			return nil, fleet.WithHint(
				fmt.Errorf("cannot write the changelog of %s: the line %q would end it", c.Product.ID, line),
				"put a blank before the line")
		}
	}
	fmt.Fprintf(&b, "\n[Changelog]\n%s\n", s.Changelog)
	return b.Bytes(), nil
}

func legacyValue(v any) string {
	switch v := v.(type) {
	case string:
		lines := strings.Split(v, "\n")
		for i := range lines {
			if i > 0 && lines[i] != "" {
				lines[i] = " " + lines[i]
			}
		}
		return strings.Join(lines, "\n")
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []Depend:
		words := make([]string, len(v))
		for i, d := range v {
			words[i] = d.String()
		}
		return strings.Join(words, ", ")
	case []string:
		plain := strings.Join(v, ", ")
		if !strings.ContainsAny(strings.Join(v, ""), ",\n[\"") {
			return plain
		}
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return jsonList(list)
	case []any:
		return jsonList(v)
	}
	return fmt.Sprint(v)
}

// jsonList writes a list as Python does, with a blank behind each comma.
func jsonList(list []any) string {
	items := make([]string, len(list))
	for i, e := range list {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(e) // text and truth values only
		items[i] = strings.TrimSpace(b.String())
	}
	return "[" + strings.Join(items, ", ") + "]"
}
