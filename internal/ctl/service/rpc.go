package service

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// mostColumns is how many attributes of an object a table shows.
const mostColumns = 7

func (t command) rpcCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rpc METHOD [ARGUMENT...]",
		Aliases: []string{"method"},
		Short:   "Call a method of the server, as opsi-admin does",
		Long: `Call a method of the server, as opsi-admin does.

Each ARGUMENT is JSON, or else plain text: [] and '{"type": "OpsiClient"}' are a
list and a mapping, pc1.example.org is text. Text that would be JSON goes in
quotes of its own: '"4"'. Arguments that begin with a dash follow after --.

The result is written as JSON; on a terminal a list of objects is shown as a
table, unless --json says otherwise.`,
		Example: `  fernwerk rpc host_getObjects '["description"]' '{"type": "OpsiClient"}'
  fernwerk rpc backend_getInterface`,
		Args: tool.Args,
		ValidArgsFunction: func(_ *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(given) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, m := range catalog.Table() {
				if strings.HasPrefix(m.Name, begun) {
					names = append(names, m.Name+"\t"+m.Doc)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, given []string) error { return t.rpc(c.Context(), given[0], given[1:]) },
	}
}

func (t command) rpc(ctx context.Context, method string, texts []string) error {
	arguments := make([]any, len(texts))
	for i, text := range texts {
		arguments[i] = argument(text)
	}
	v, err := t.Call(ctx, method, arguments...)
	if err != nil {
		return nearMethod(err, method)
	}
	if rows := tabular(v); rows != nil && !t.JSON && term.IsTerminal(t.Out) {
		columns, left := t.columns(method, rows)
		if err := t.List(rows, "", columns...); err != nil {
			return err
		}
		if left > 0 {
			t.Remark("(%d more attributes: --json shows all)", left)
		}
		return nil
	}
	return t.WriteJSON(v)
}

// argument reads an argument as JSON, or takes it as text.
func argument(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return text
	}
	if _, err := d.Token(); err != io.EOF {
		return text // JSON and something behind it
	}
	return numbers(v)
}

// numbers are int64 where they are whole, as everywhere in the fleet.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // a number too large for it is the largest there is
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// nearMethod names the method that was probably meant, where the server did not.
func nearMethod(err error, method string) error {
	known := catalog.Table()
	if strings.Contains(err.Error(), "did you mean") || slices.ContainsFunc(known, func(m *methods.Method) bool { return m.Name == method }) {
		return err
	}
	var names []string
	for _, m := range known {
		names = append(names, m.Name)
	}
	if near, ok := nearest.Suggest(method, names); ok && fleet.HintOf(err) == "" {
		return fleet.WithHint(err, "did you mean %s?", near)
	}
	return err
}

// tabular is a result that is a list of objects, else nil.
func tabular(v any) []fleet.Row {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	rows := make([]fleet.Row, len(list))
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil
		}
		rows[i] = m
	}
	return rows
}

// columns chooses what a table of objects shows: attributes that some object
// has, in the order of their class, identity first.
func (t command) columns(method string, rows []fleet.Row) (shown []string, left int) {
	var order []string
	class, _, _ := strings.Cut(method, "_")
	for _, c := range fleet.Classes() {
		if c.Name == class {
			for _, col := range c.Columns {
				order = append(order, col.Name)
			}
		}
	}
	var others []string
	for _, r := range rows {
		for name := range r {
			if !slices.Contains(order, name) && !slices.Contains(others, name) && name != "ident" && name != "type" {
				others = append(others, name)
			}
		}
	}
	slices.Sort(others)
	for _, name := range append(order, others...) {
		if !slices.ContainsFunc(rows, func(r fleet.Row) bool { return console.Cell(r[name]) != "" }) {
			continue
		}
		if len(shown) == mostColumns {
			left++
			continue
		}
		shown = append(shown, name)
	}
	return shown, left
}
