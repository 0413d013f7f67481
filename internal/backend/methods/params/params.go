// Package params finds out which value counts: of a host parameter, of a
// product's property, and of the one parameter that others hang on, which
// depot serves a client.
//
// A client's own value counts before that of its depot, that before the config
// server's, that before the default (product properties have no level of the
// config server). Its methods are rows of the method table; the server and the
// agent ask the same questions in Go.
package params

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Methods: slices.Concat(valueMethods(), depotMethods(), propertyMethods())}
}

// Of are a client's host parameters whose ids match the patterns, as
// configState_getValues would say them, defaults included.
func Of(tx *store.Tx, client string, patterns ...string) (map[fleet.ConfigID][]any, error) {
	depots, err := depotsOf(tx, []string{client})
	if err != nil {
		return nil, err
	}
	levels := depots.levels(client)
	p, err := load(tx, patterns, levels)
	if err != nil {
		return nil, err
	}
	out := map[fleet.ConfigID][]any{}
	for id, v := range p.at(levels) {
		out[fleet.ConfigID(id)] = v.([]any)
	}
	return out, nil
}

// loaded are host parameters with their values by object.
type loaded struct {
	defaults map[string][]any
	states   map[string]map[string][]any // object -> config -> values
}

// fewObjects is up to how many objects their values are asked for by name: for
// more, reading all is quicker.
const fewObjects = 1000

// named adds a condition on the objects, if they are few.
func named(f fleet.Filter, column string, objects []string) fleet.Filter {
	if objects = slices.Compact(slices.Sorted(slices.Values(objects))); len(objects) <= fewObjects {
		f[column] = objects
	}
	return f
}

// load reads the parameters whose ids match, with the values that the objects
// have, and perhaps those of others.
func load(tx *store.Tx, ids, objects []string) (loaded, error) {
	p := loaded{defaults: map[string][]any{}, states: map[string]map[string][]any{}}
	configs, err := tx.Select(fleet.Configs, fleet.Filter{"id": ids})
	if err != nil {
		return p, err
	}
	for _, r := range configs {
		p.defaults[r.Str("id")] = list(r["defaultValues"])
	}
	states, err := tx.Select(fleet.ConfigStates, named(fleet.Filter{"configId": ids}, "objectId", objects))
	if err != nil {
		return p, err
	}
	for _, r := range states {
		object := r.Str("objectId")
		if p.states[object] == nil {
			p.states[object] = map[string][]any{}
		}
		p.states[object][r.Str("configId")] = list(r["values"])
	}
	return p, nil
}

// at are the values that count where the first of the levels says most.
func (p loaded) at(levels []string) map[string]any {
	out := asAny(p.defaults)
	for _, level := range slices.Backward(levels) {
		for id, v := range p.states[level] {
			out[id] = v
		}
	}
	return out
}

func asAny[V any](m map[string]V) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{}
}

func idsOf(hosts []fleet.Row) []string {
	ids := make([]string, len(hosts))
	for i, h := range hosts {
		ids[i] = h.Str("id")
	}
	return ids
}
