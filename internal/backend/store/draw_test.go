package store_test

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// forms are valid texts of each syntax that a column can demand.
var forms = map[string][]any{
	"host": {"pc1.example.org", "pc2.example.org", "depot1.example.org"}, "object": {"pc1.example.org", "firefox"},
	"product": {"firefox", "runtime"}, "version": {"1", "2"}, "package": {"1", "2"},
	"config": {"clientconfig.depot.protocol", "a.b"}, "property": {"language", "icon"}, "group": {"Office", "basics", "*", "%_"},
	"license": {"l1", "pool1", "c1"}, "mac": {"52:54:00:12:34:56"}, "hostkey": {"0123456789abcdef0123456789abcdef"},
	"ip": {"10.0.0.1", "10.0.0.2"}, "network": {"10.0.0.0/8"}, "user": {"anna", "bert"},
	"uuid": {"00000000-0000-0000-0000-000000000001"}, "nodetype": {"vnode", "gpu"}, "hwclass": {"CHASSIS", "MEMORY_MODULE"},
	"url": {"smb://depot1/opsi_depot", "https://x.y.z"}, "scriptname": {"setup.sh", `sub\setup.sh`},
}

var texts = []any{nil, "", "x", "50%_off", "ü*?[x]", `a;b\c`, "it's \"so\"", "a\nb"}

func drawValue(t *rapid.T, col *fleet.Column) any {
	choice := texts
	switch {
	case col.Kind == fleet.Bool:
		choice = []any{nil, true, false}
	case col.Kind == fleet.Int:
		choice = []any{nil, int64(0), int64(7), int64(1 << 62)}
	case col.Kind == fleet.Time:
		choice = []any{nil, "2026-01-02 03:04:05", "2027-01-02 03:04:05"}
	case col.Kind == fleet.List:
		return rapid.SliceOfN(rapid.SampledFrom([]any{"x", "", "true", true, false, int64(1), "1"}), 0, 3).Draw(t, col.Name)
	case len(col.Allowed) > 0:
		choice = []any{nil}
		for _, s := range col.Allowed {
			choice = append(choice, s)
		}
	case col.Valid != "":
		choice = append([]any{nil}, forms[col.Valid]...)
	}
	if col.Ident {
		choice = slices.DeleteFunc(slices.Clone(choice), func(v any) bool { return v == nil || v == "" })
	}
	return rapid.SampledFrom(choice).Draw(t, col.Name)
}

// drawRow is a sample of the class with some of its columns changed, its
// identity and type among them.
func drawRow(t *rapid.T, c *fleet.Class) fleet.Row {
	r := rapid.SampledFrom(bench.Sample(c)).Draw(t, c.Name)
	if len(c.Types) > 1 && rapid.IntRange(0, 3).Draw(t, "other type") == 0 {
		r["type"] = rapid.SampledFrom(c.Types).Draw(t, "type")
	}
	typ := c.Type(r)
	for name := range r {
		if col := c.Column(name); col != nil && !col.Has(typ) {
			delete(r, name)
		}
	}
	for _, col := range c.Columns {
		odds := 2
		if col.Ident {
			odds = 5
		}
		if col.Name != "type" && col.Has(typ) && rapid.IntRange(0, odds).Draw(t, "change "+col.Name) == 0 {
			r[col.Name] = drawValue(t, col)
		}
	}
	return r
}

// drawPatch is the identity of a row, and some of its other columns.
func drawPatch(t *rapid.T, c *fleet.Class) fleet.Row {
	r := drawRow(t, c)
	for _, col := range c.Columns {
		if !col.Ident && rapid.Bool().Draw(t, "leave out "+col.Name) {
			delete(r, col.Name)
		}
	}
	return r
}
