package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// writeJSON writes v as an indented JSON document.
func (t *tool) writeJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	_, err := io.WriteString(t.Out, harmless(b.String()))
	return err
}

// harmless escapes what a terminal would obey. In JSON such characters stand
// within strings only, where \u is the same character.
func harmless(s string) string {
	if !strings.ContainsFunc(s, obeyed) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if obeyed(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func obeyed(r rune) bool {
	return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029')
}

// list writes rows as a table of some of their columns, or with --json whole.
// A header such as "host=clientId" shows a column under another name.
func (t *tool) list(rows []fleet.Row, none string, headers ...string) error {
	if t.flags.json {
		if rows == nil {
			rows = []fleet.Row{}
		}
		return t.writeJSON(rows)
	}
	if len(rows) == 0 {
		t.remark("%s", none)
		return nil
	}
	columns := make([]string, len(headers))
	for i, h := range headers {
		shown, column, other := strings.Cut(h, "=")
		headers[i], columns[i] = shown, shown
		if other {
			columns[i] = column
		}
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		for _, c := range columns {
			cells[i] = append(cells[i], cell(r[c]))
		}
	}
	return term.Table(t.Out, headers, cells)
}

// sheet writes one object, a line a value.
func (t *tool) sheet(r fleet.Row, names []string) error {
	if t.flags.json {
		return t.writeJSON(r)
	}
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	for _, n := range names {
		if v := cell(r[n]); v != "" {
			fmt.Fprintf(t.Out, "%-*s  %s\n", width, term.Clean(n), term.Clean(v))
		}
	}
	return nil
}

// cell is a value as a table shows it.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = cell(e)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		data, _ := json.Marshal(v) // it came as JSON
		return string(data)
	}
	return fmt.Sprint(v)
}

// say writes the result of a command that changed something: words, or with
// --json an object.
func (t *tool) say(object any, format string, args ...any) error {
	if t.flags.json {
		return t.writeJSON(object)
	}
	if !t.flags.quiet {
		fmt.Fprintln(t.Out, term.Clean(fmt.Sprintf(format, args...)))
	}
	return nil
}

// remark tells the person something that is no result.
func (t *tool) remark(format string, args ...any) {
	if !t.flags.quiet && !t.flags.json {
		fmt.Fprintln(t.Err, term.Clean(fmt.Sprintf(format, args...)))
	}
}
