package backendtest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// classCases run for every class; each shows one generated method.
var classCases = []struct {
	method string
	run    func(*bench.Bench, *fleet.Class)
}{
	{"getObjects", func(b *bench.Bench, c *fleet.Class) {
		put := b.PutAll(c)
		holds(b, c, put)
		one := put[0]
		got := b.Rows(c.Name+"_getObjects", methods.Pos([]any{c.Ident()[0].Name}, identFilter(c, one)))
		if len(got) != 1 && !c.Open {
			b.Fatalf("the identity of %v finds %d objects", one, len(got))
		}
		for _, g := range got {
			for name := range g.(map[string]any) {
				if col := c.Column(name); name != "type" && name != "ident" && (col == nil || !col.Ident) {
					b.Errorf("asked for one attribute, got %s too", name)
				}
			}
		}
		if !c.Open {
			b.Refused(fleet.Invalid, c.Name+"_getObjects", []any{"noSuchAttribute"})
		}
	}},
	{"getHashes", func(b *bench.Bench, c *fleet.Class) {
		b.PutAll(c)
		b.Same("getHashes", b.Rows(c.Name+"_getObjects", methods.Params{}), b.Rows(c.Name+"_getHashes", methods.Params{}))
	}},
	{"getIdents", func(b *bench.Bench, c *fleet.Class) {
		put := b.PutAll(c)
		strs := b.Rows(c.Name+"_getIdents", methods.Params{})
		lists := b.Rows(c.Name+"_getIdents", methods.Pos("list"))
		dicts := b.Rows(c.Name+"_getIdents", methods.Pos("dict"))
		if len(strs) != len(put) || len(lists) != len(put) || len(dicts) != len(put) {
			b.Fatalf("%d objects have %d, %d, %d idents", len(put), len(strs), len(lists), len(dicts))
		}
		for _, r := range put {
			if !slices.Contains(strs, any(c.IdentString(r))) {
				b.Errorf("%v lacks %q", strs, c.IdentString(r))
			}
		}
	}},
	{"insertObject", func(b *bench.Bench, c *fleet.Class) {
		for _, r := range bench.Sample(c) {
			b.Call(c.Name+"_insertObject", r)
		}
		holds(b, c, bench.Sample(c))
		b.Call(c.Name+"_insertObject", bench.Sample(c)[0]) // again: replaced, not doubled
		holds(b, c, bench.Sample(c))
		b.Refused(fleet.Invalid, c.Name+"_insertObject", fleet.Row{"type": "NoSuchType"})
	}},
	{"createObjects", func(b *bench.Bench, c *fleet.Class) {
		b.Call(c.Name+"_createObjects", bench.Sample(c))
		holds(b, c, bench.Sample(c))
	}},
	{"updateObject", func(b *bench.Bench, c *fleet.Class) {
		put := b.PutAll(c)
		name, value := steadyColumn(c, put[0])
		if name == "" {
			b.Refused(fleet.NotFound, c.Name+"_updateObject", missing(c, put[0]))
			return
		}
		change := identRow(c, put[0])
		change[name] = value
		b.Call(c.Name+"_updateObject", change)
		put[0][name] = value
		holds(b, c, put)
		b.Refused(fleet.NotFound, c.Name+"_updateObject", missing(c, put[0]))
	}},
	{"updateObjects", func(b *bench.Bench, c *fleet.Class) {
		put := bench.Sample(c)
		b.Call(c.Name+"_createObjects", put[:1])
		if name, value := steadyColumn(c, put[0]); name != "" {
			put[0][name] = value
		}
		b.Call(c.Name+"_updateObjects", put) // changes the first, creates the rest
		holds(b, c, put)
	}},
	{"deleteObjects", func(b *bench.Bench, c *fleet.Class) {
		put := b.PutAll(c)
		b.Call(c.Name+"_deleteObjects", put[:1])
		holds(b, c, put[1:])
	}},
	{"delete", func(b *bench.Bench, c *fleet.Class) {
		put := b.PutAll(c)
		var args []any
		for _, p := range methodNamed(b.T, c.Name+"_delete").Params {
			if v := put[0][p.Name]; v != nil && !p.Rest {
				args = append(args, v)
			}
		}
		b.Call(c.Name+"_delete", args...)
		holds(b, c, put[1:])
		b.Refused(fleet.Invalid, c.Name+"_delete")
		b.Refused(fleet.Invalid, c.Name+"_delete", []any{}) // would mean all
		holds(b, c, put[1:])
	}},
}

// createCase shows a class's create method for one type.
func createCase(b *bench.Bench, c *fleet.Class, typ string, m *methods.Method) {
	for _, r := range bench.Sample(c) {
		if typ != "" && c.Type(r) != typ {
			continue
		}
		var args []any
		for _, p := range m.Params {
			if !p.Rest {
				args = append(args, r[p.Name])
			}
		}
		p := methods.Pos(args...)
		if c.Open {
			p = methods.Params{Named: r}
		}
		if _, err := b.Try(m.Name, p); err != nil {
			b.Fatalf("%s: %v", m.Name, err)
		}
		holds(b, c, []fleet.Row{r})
		return
	}
	b.Fatalf("no sample of %s is a %s", c.Name, typ)
}

// holds checks that exactly these objects are there, with at least these values.
func holds(b *bench.Bench, c *fleet.Class, want []fleet.Row) {
	b.Helper()
	got := map[string]map[string]any{}
	for _, g := range b.Find(c, nil) {
		r := g.(map[string]any)
		got[c.Key(r)] = r
	}
	if len(got) != len(want) {
		b.Errorf("%d objects, want %d", len(got), len(want))
	}
	for _, w := range want {
		g, ok := got[c.Key(w)]
		if !ok {
			b.Errorf("%s is missing", c.IdentString(w))
			continue
		}
		for name, v := range w {
			b.Same(fmt.Sprintf("%s of %s", name, c.IdentString(w)), v, g[name])
		}
	}
}

func identRow(c *fleet.Class, r fleet.Row) fleet.Row {
	if c.Open {
		return maps.Clone(r)
	}
	id := fleet.Row{}
	for _, col := range c.Ident() {
		id[col.Name] = r[col.Name]
	}
	if r["type"] != nil {
		id["type"] = r["type"]
	}
	return id
}

func identFilter(c *fleet.Class, r fleet.Row) map[string]any {
	id := identRow(c, r)
	delete(id, "type")
	if c == fleet.Groups {
		id["type"] = r["type"]
	}
	return id
}

// missing is the identity of an object that is not there.
func missing(c *fleet.Class, r fleet.Row) fleet.Row {
	id := identRow(c, r)
	for _, col := range c.Ident() {
		if col.Valid == "" && len(col.Allowed) == 0 || col.Valid == "config" || col.Valid == "product" || col.Valid == "license" || col.Valid == "user" || col.Valid == "group" || col.Valid == "nodetype" {
			id[col.Name] = "zz"
		} else if col.Valid == "host" {
			id[col.Name] = "no.such.host"
		}
	}
	if c.Open {
		id["serialNumber"] = "none"
	}
	return id
}

// steadyColumn is an attribute outside the identity, and another value for it.
func steadyColumn(c *fleet.Class, r fleet.Row) (string, any) {
	for _, col := range c.Columns {
		if col.Ident || col.Volatile || col.Stamp != "" || !col.Has(c.Type(r)) || col.Name == "type" {
			continue
		}
		switch {
		case col.Kind == fleet.Bool:
			return col.Name, r[col.Name] != true
		case col.Kind == fleet.Int:
			return col.Name, int64(77)
		case col.Kind == fleet.List:
			return col.Name, []any{"x"}
		case col.Kind == fleet.String && len(col.Allowed) > 0:
			for _, a := range col.Allowed {
				if a != r[col.Name] {
					return col.Name, a
				}
			}
		case col.Kind == fleet.String && col.Valid == "":
			return col.Name, "changed"
		}
	}
	return "", nil
}
