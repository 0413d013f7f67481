package console

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

// WriteJSON writes v as an indented JSON document.
func (c *Console) WriteJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	_, err := io.WriteString(c.Out, Harmless(b.String()))
	return err
}

// Harmless escapes what a terminal would obey. In JSON such characters stand
// within strings only, where \u is the same character.
func Harmless(s string) string {
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

// List writes rows as a table of some of their columns, or with --json whole.
// A header such as "host=clientId" shows a column under another name.
func (c *Console) List(rows []fleet.Row, none string, headers ...string) error {
	if c.JSON {
		if rows == nil {
			rows = []fleet.Row{}
		}
		return c.WriteJSON(rows)
	}
	if len(rows) == 0 {
		c.Remark("%s", none)
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
		for _, name := range columns {
			cells[i] = append(cells[i], Cell(r[name]))
		}
	}
	return term.Table(c.Out, headers, cells)
}

// Sheet writes one object, a line a value.
func (c *Console) Sheet(r fleet.Row, names []string) error {
	if c.JSON {
		return c.WriteJSON(r)
	}
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	for _, n := range names {
		if v := Cell(r[n]); v != "" {
			fmt.Fprintf(c.Out, "%-*s  %s\n", width, term.Clean(n), term.Clean(v))
		}
	}
	return nil
}

// Cell is a value as a table shows it.
func Cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = Cell(e)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		data, _ := json.Marshal(v) // it came as JSON
		return string(data)
	}
	return fmt.Sprint(v)
}

// Say writes the result of a command that changed something: words, or with
// --json an object.
func (c *Console) Say(object any, format string, args ...any) error {
	if c.JSON {
		return c.WriteJSON(object)
	}
	if !c.Quiet {
		fmt.Fprintln(c.Out, term.Clean(fmt.Sprintf(format, args...)))
	}
	return nil
}

// Remark tells the person something that is no result.
func (c *Console) Remark(format string, args ...any) {
	if !c.Quiet && !c.JSON {
		fmt.Fprintln(c.Err, term.Clean(fmt.Sprintf(format, args...)))
	}
}
