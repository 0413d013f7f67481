// Package bench is what the cases of the suite share: a backend to call, what is to be
// said of its answers, and objects to begin with.
package bench

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Cases are by the name of the method that they show, or of a rule.
type Cases map[string]func(*Bench)

// Bench is one case's view of the backend.
type Bench struct {
	*testing.T
	Backend methods.Backend
}

// New empties the fleet of all samples.
func New(t *testing.T, b methods.Backend) *Bench {
	be := &Bench{T: t, Backend: b}
	classes := fleet.Classes()
	slices.Reverse(classes)
	if be.HasAccounts() {
		classes = slices.DeleteFunc(classes, func(c *fleet.Class) bool { return c == fleet.Users })
	}
	for _, class := range classes {
		if rows := be.Rows(class.Name+"_getObjects", methods.Params{}); len(rows) > 0 {
			be.Call(class.Name+"_deleteObjects", rows)
		}
	}
	return be
}

var admin = methods.Actor{Role: methods.Administrator, ID: "suite", Address: "127.0.0.1"}

func (b *Bench) Try(method string, p methods.Params) (any, error) {
	return b.Backend.Call(context.Background(), admin, method, p)
}

// Call calls a method that must succeed.
func (b *Bench) Call(method string, args ...any) any {
	b.Helper()
	v, err := b.Try(method, methods.Pos(args...))
	if err != nil {
		b.Fatalf("%s: %v", method, err)
	}
	return Plain(v)
}

// Refused calls a method that must fail with a code.
func (b *Bench) Refused(code fleet.Code, method string, args ...any) {
	b.Helper()
	_, err := b.Try(method, methods.Pos(args...))
	if fleet.CodeOf(err) != code {
		b.Fatalf("%s: %v (%s), want the code %s", method, err, fleet.CodeOf(err), code)
	}
}

// Rows calls a method that returns objects.
func (b *Bench) Rows(method string, p methods.Params) []any {
	b.Helper()
	v, err := b.Try(method, p)
	if err != nil {
		b.Fatalf("%s: %v", method, err)
	}
	list, ok := Plain(v).([]any)
	if !ok && v != nil {
		b.Fatalf("%s returned a %T", method, v)
	}
	return list
}

// Find returns the objects of a class that match.
func (b *Bench) Find(class *fleet.Class, f map[string]any) []any {
	b.Helper()
	return b.Rows(class.Name+"_getObjects", methods.Params{Named: f})
}

func (b *Bench) Same(what string, want, got any) {
	b.Helper()
	if d := cmp.Diff(Plain(want), Plain(got)); d != "" {
		b.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// Params are attributes and a filter, as clients send them.
func Params(attributes []any, filter map[string]any) methods.Params {
	return methods.Params{Positional: []any{attributes}, Named: filter}
}

// Plain reduces results to what the wire can tell apart.
func Plain(v any) any {
	switch v := v.(type) {
	case fleet.Row:
		return Plain(map[string]any(v))
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = Plain(e)
		}
		return out
	case []fleet.Row:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Plain(e)
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
