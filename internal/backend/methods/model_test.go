package methods_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// model is what the generated methods mean, written down the simple way: a map
// of objects, and every rule in a line.
type model map[string]map[string]any

// fill is a new object: what is not given, or null, has its default.
func fill(given map[string]any) map[string]any {
	out := map[string]any{"description": "", "productIds": []any{}, "type": "LicensePool"}
	for k, v := range given {
		if v != nil {
			out[k] = v
		}
	}
	out["ident"] = out["id"]
	return out
}

func (m model) replace(given map[string]any) { m[given["id"].(string)] = fill(given) }

// update leaves alone what is null, and tells whether the object is there.
func (m model) update(given map[string]any) bool {
	have, there := m[given["id"].(string)]
	if !there {
		return false
	}
	for k, v := range given {
		if v != nil {
			have[k] = v
		}
	}
	return true
}

func (m model) match(filter map[string]any) (out []any) {
	for _, o := range m {
		ok := true
		for name, want := range filter {
			ok = ok && matches(o[name], want)
		}
		if ok {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b any) int {
		x, y := a.(map[string]any)["id"].(string), b.(map[string]any)["id"].(string)
		return map[bool]int{true: -1, false: 1}[x < y]
	})
	return out
}

// matches is one condition: a list of values of which one must match, or one
// value; null and "" are no value; * stands for any text; a list has a value if
// one of its elements is it.
func matches(have, want any) bool {
	if list, ok := want.([]any); ok {
		return len(list) == 0 || slices.ContainsFunc(list, func(w any) bool { return matches(have, w) })
	}
	if list, ok := have.([]any); ok {
		if len(list) == 0 {
			return want == nil || want == ""
		}
		return slices.ContainsFunc(list, func(h any) bool { return matches(h, want) })
	}
	if want == nil || want == "" {
		return have == nil || have == ""
	}
	return have != "" && have != nil && fleet.Glob(want.(string), have.(string))
}

// TestModel draws sequences of calls and holds every answer to the model.
func TestModel(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, time.Now, catalog.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	svc := catalog.New(s, methods.Ports{})
	admin := methods.Actor{Role: methods.Administrator, ID: "anna"}
	ids := rapid.SampledFrom([]string{"a", "a-b", "ab", "b_"})
	texts := rapid.SampledFrom([]string{"", "one", "One", "on", "tw_o", "50%", "a*b", "ü"})
	lists := rapid.Custom(func(t *rapid.T) []any {
		out := []any{}
		for _, v := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"firefox", "runtime", "tool"}), 0, 3, rapid.ID).Draw(t, "elements") {
			out = append(out, v)
		}
		return out
	})
	maybe := func(t *rapid.T, v any) any {
		if rapid.IntRange(0, 2).Draw(t, "null") == 0 {
			return nil
		}
		return v
	}
	object := rapid.Custom(func(t *rapid.T) map[string]any {
		o := map[string]any{"id": ids.Draw(t, "id"), "type": "LicensePool"}
		if rapid.Bool().Draw(t, "described") {
			o["description"] = maybe(t, texts.Draw(t, "description"))
		}
		if rapid.Bool().Draw(t, "with products") {
			o["productIds"] = maybe(t, lists.Draw(t, "products"))
		}
		return o
	})
	rapid.Check(t, func(t *rapid.T) {
		m := model{}
		try := func(method string, p methods.Params) (any, error) {
			return svc.Call(t.Context(), admin, "licensePool_"+method, p)
		}
		call := func(method string, args ...any) {
			t.Helper()
			if _, err := try(method, methods.Pos(args...)); err != nil {
				t.Fatalf("%s %v: %v", method, args, err)
			}
		}
		if rows, err := try("getObjects", methods.Params{}); err != nil {
			t.Fatal(err)
		} else if len(rows.([]fleet.Row)) > 0 {
			call("deleteObjects", rows)
		}
		clone := func(o map[string]any) map[string]any { return fleet.Row(o).Clone() }
		t.Repeat(map[string]func(*rapid.T){
			"insertObject": func(t *rapid.T) {
				o := object.Draw(t, "object")
				call("insertObject", clone(o))
				m.replace(o)
			},
			"createObjects": func(t *rapid.T) {
				var list []any
				for _, o := range rapid.SliceOfN(object, 1, 3).Draw(t, "objects") {
					list = append(list, clone(o))
					m.replace(o)
				}
				call("createObjects", list)
			},
			"create": func(t *rapid.T) {
				o := object.Draw(t, "object")
				call("create", o["id"], o["description"], o["productIds"])
				m.replace(o)
			},
			"updateObject": func(t *rapid.T) {
				o := object.Draw(t, "object")
				_, err := try("updateObject", methods.Pos(clone(o)))
				if there := m.update(o); there != (err == nil) || !there && fleet.CodeOf(err) != fleet.NotFound {
					t.Fatalf("updateObject %v: %v", o, err)
				}
			},
			"updateObjects": func(t *rapid.T) {
				o := object.Draw(t, "object")
				call("updateObjects", []any{clone(o)})
				if !m.update(o) {
					m.replace(o)
				}
			},
			"delete": func(t *rapid.T) {
				id := rapid.SampledFrom([]string{"a", "a*", "*b", "none"}).Draw(t, "id")
				call("delete", id)
				for _, o := range m.match(map[string]any{"id": id}) {
					delete(m, o.(map[string]any)["id"].(string))
				}
			},
			"": func(t *rapid.T) {
				filter := map[string]any{}
				value := func(texts ...string) any {
					one := rapid.Custom(func(t *rapid.T) any { return maybe(t, rapid.SampledFrom(texts).Draw(t, "value")) })
					if rapid.Bool().Draw(t, "list") {
						return rapid.SliceOfN(one, 0, 2).Draw(t, "values")
					}
					return one.Draw(t, "one")
				}
				if rapid.Bool().Draw(t, "by description") {
					filter["description"] = value("", "one", "o*", "*n*", "tw_o", "5*%", "a*b", "*", "Ü")
				}
				if rapid.Bool().Draw(t, "by product") {
					filter["productIds"] = value("firefox", "r*", "")
				}
				asked := clone(filter)
				got, err := try("getObjects", methods.Params{Positional: []any{[]any{}}, Named: asked})
				if err != nil {
					t.Fatalf("filter %v: %v", filter, err)
				}
				var have []any
				for _, r := range got.([]fleet.Row) {
					have = append(have, map[string]any(r))
				}
				if d := cmp.Diff(m.match(filter), have); d != "" {
					t.Fatalf("filter %v (-model +got):\n%s", filter, d)
				}
				idents, err := try("getIdents", methods.Params{Positional: []any{rapid.SampledFrom([]string{"str", "unicode"}).Draw(t, "form")}, Named: clone(filter)})
				if err != nil || len(idents.([]any)) != len(have) || len(have) > 0 && fmt.Sprint(idents.([]any)[0]) != have[0].(map[string]any)["id"] {
					t.Fatalf("idents %v, %v", idents, err)
				}
			},
		})
	})
}
