// Package backendtest is the one suite that every backend passes: the service
// over SQLite, over PostgreSQL, behind the RPC client, and an agent's local
// service over its cache.
//
// It walks the class table and the method table: a class without a sample, or
// a method without a case, fails it. A case shows that the method changes, or
// reads, what another call put there.
package backendtest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Run runs the suite against a backend whose caller is an administrator. The
// backend's fleet is emptied of the samples' classes.
func Run(t *testing.T, b methods.Backend) {
	used := map[string]bool{}
	hand := all(
		handCases, serviceCases, paramCases, sequenceCases, untypedCases, fleetwideCases, credentialCases,
		auditCases, licensingCases, licenseCases, leaseCases, wanCases, slotCases,
		dependencyCases, hostCases, selectionCases,
		hostControlCases, nodeCases, nodeFileCases,
		depotCases,
		accountCases, trustCases, updateCases, feedCases,
		joinCases,
	)
	accounts := (&bench{t, b}).hasAccounts()
	for _, class := range fleet.Classes() {
		if class == fleet.Users && accounts { // its rows are people who log in: see accountRules
			for _, m := range catalog.Table() {
				used[m.Name] = used[m.Name] || m.Class == class
			}
			continue
		}
		if len(samples[class.Name]) < 2 {
			t.Errorf("class %s has fewer than two samples", class.Name)
			continue
		}
		for _, c := range classCases {
			name := class.Name + "_" + c.method
			used[name] = true
			t.Run(name, func(t *testing.T) { c.run(newBench(t, b), class) })
		}
		for _, typ := range typesOf(class) {
			m := creatorOf(t, class, typ)
			used[m.Name] = true
			t.Run(m.Name, func(t *testing.T) { createCase(newBench(t, b), class, typ, m) })
		}
	}
	for _, m := range catalog.Table() {
		if c := hand[m.Name]; c != nil {
			used[m.Name] = true
			t.Run(m.Name, func(t *testing.T) { c(newBench(t, b)) })
		}
		if !used[m.Name] {
			t.Errorf("method %s has no case", m.Name)
		}
	}
	for name, c := range all(ruleCases, completeRules, auditRules, licenseRules, wanRules, hostRules, accountRules) {
		t.Run(name, func(t *testing.T) { c(newBench(t, b)) })
	}
}

// all puts the cases of several files together.
func all(files ...map[string]func(*bench)) map[string]func(*bench) {
	out := map[string]func(*bench){}
	for _, cases := range files {
		for name, c := range cases {
			if out[name] != nil {
				panic("backendtest: two cases for " + name)
			}
			out[name] = c
		}
	}
	return out
}

func typesOf(class *fleet.Class) []string {
	if len(class.Types) == 0 {
		return []string{""}
	}
	return class.Types
}

// creatorOf finds the create method of a type: the one that is neither
// createObjects nor another type's.
func creatorOf(t *testing.T, class *fleet.Class, typ string) *methods.Method {
	want := class.Name + "_create"
	for _, m := range catalog.Table() {
		rest, ok := strings.CutPrefix(m.Name, want)
		if ok && m.Class == class && rest != "Objects" && (typ == "" || len(class.Types) == 1 || strings.HasPrefix(typ, rest) && rest != "") {
			return m
		}
	}
	t.Fatalf("class %s has no create method for %q", class.Name, typ)
	return nil
}

func methodNamed(t *testing.T, name string) *methods.Method {
	for _, m := range catalog.Table() {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no method %s", name)
	return nil
}

// bench is one case's view of the backend.
type bench struct {
	*testing.T
	b methods.Backend
}

// newBench empties the fleet of all samples.
func newBench(t *testing.T, b methods.Backend) *bench {
	be := &bench{t, b}
	classes := fleet.Classes()
	slices.Reverse(classes)
	if be.hasAccounts() {
		classes = slices.DeleteFunc(classes, func(c *fleet.Class) bool { return c == fleet.Users })
	}
	for _, class := range classes {
		if rows := be.rows(class.Name+"_getObjects", methods.Params{}); len(rows) > 0 {
			be.call(class.Name+"_deleteObjects", rows)
		}
	}
	return be
}

var admin = methods.Actor{Role: methods.Administrator, ID: "suite", Address: "127.0.0.1"}

func (b *bench) try(method string, p methods.Params) (any, error) {
	return b.b.Call(context.Background(), admin, method, p)
}

// call calls a method that must succeed.
func (b *bench) call(method string, args ...any) any {
	b.Helper()
	v, err := b.try(method, methods.Pos(args...))
	if err != nil {
		b.Fatalf("%s: %v", method, err)
	}
	return plain(v)
}

// refused calls a method that must fail with a code.
func (b *bench) refused(code fleet.Code, method string, args ...any) {
	b.Helper()
	_, err := b.try(method, methods.Pos(args...))
	if fleet.CodeOf(err) != code {
		b.Fatalf("%s: %v (%s), want the code %s", method, err, fleet.CodeOf(err), code)
	}
}

// rows calls a method that returns objects.
func (b *bench) rows(method string, p methods.Params) []any {
	b.Helper()
	v, err := b.try(method, p)
	if err != nil {
		b.Fatalf("%s: %v", method, err)
	}
	list, ok := plain(v).([]any)
	if !ok && v != nil {
		b.Fatalf("%s returned a %T", method, v)
	}
	return list
}

// find returns the objects of a class that match.
func (b *bench) find(class *fleet.Class, f map[string]any) []any {
	b.Helper()
	return b.rows(class.Name+"_getObjects", methods.Params{Named: f})
}

func (b *bench) same(what string, want, got any) {
	b.Helper()
	if d := cmp.Diff(plain(want), plain(got)); d != "" {
		b.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// params are attributes and a filter, as clients send them.
func params(attributes []any, filter map[string]any) methods.Params {
	return methods.Params{Positional: []any{attributes}, Named: filter}
}

// plain reduces results to what the wire can tell apart.
func plain(v any) any {
	switch v := v.(type) {
	case fleet.Row:
		return plain(map[string]any(v))
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	case []fleet.Row:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case []string:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = e
		}
		return out
	case int:
		return int64(v)
	}
	return v
}
