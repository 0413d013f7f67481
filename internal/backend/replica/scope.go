package replica

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Scope is what one client holds a copy of. Both sides derive the same filters
// from it, so that what enters and what leaves needs no list of rows.
type Scope struct {
	Client   string   `json:"client"`
	Depot    string   `json:"depot"`
	Server   string   `json:"server"`
	Products []string `json:"products"` // sorted: those with an action, and all that they depend on
}

// Part is a class and which of its rows are in a scope.
type Part struct {
	Class  *fleet.Class
	Filter fleet.Filter
	// ByProduct says that the filter names the products: rows enter and leave
	// with them.
	ByProduct bool
}

// Parts are the rows of a scope. A class that is not listed does not travel.
func (s Scope) Parts() []Part {
	objects := []string{s.Client, s.Depot, s.Server}
	parts := []Part{
		{Class: fleet.Hosts, Filter: fleet.Filter{"id": objects}},
		{Class: fleet.Configs, Filter: fleet.Filter{}},
		{Class: fleet.ConfigStates, Filter: fleet.Filter{"objectId": objects}},
		{Class: fleet.Groups, Filter: fleet.Filter{"type": fleet.ProductGroup}},
		{Class: fleet.ProductsOnClients, Filter: fleet.Filter{"clientId": s.Client}},
		{Class: fleet.LicensePools, Filter: fleet.Filter{}}, // by which a product finds its licence
		{Class: fleet.LicensesOnClients, Filter: fleet.Filter{"clientId": s.Client}},
	}
	if len(s.Products) == 0 {
		return parts // an empty filter list would mean "any product"
	}
	return append(parts,
		Part{fleet.Products, fleet.Filter{"id": s.Products}, true},
		Part{fleet.ProductProperties, fleet.Filter{"productId": s.Products}, true},
		Part{fleet.ProductDependencies, fleet.Filter{"productId": s.Products}, true},
		Part{fleet.ProductsOnDepots, fleet.Filter{"productId": s.Products, "depotId": s.Depot}, true},
		Part{fleet.ProductPropertyStates, fleet.Filter{"productId": s.Products, "objectId": objects}, true},
		Part{fleet.Memberships, fleet.Filter{"objectId": s.Products, "groupType": fleet.ProductGroup}, true},
	)
}

// travels lists the classes that any scope can hold.
func travels() []*fleet.Class {
	var out []*fleet.Class
	for _, p := range (Scope{Products: []string{""}}).Parts() {
		out = append(out, p.Class)
	}
	return out
}

// holder tells of rows whether they are in the scope. Their identity alone
// decides it.
func (s Scope) holder() (func(c *fleet.Class, r fleet.Row) bool, error) {
	terms := map[*fleet.Class][]fleet.Term{}
	for _, p := range s.Parts() {
		var err error
		if terms[p.Class], err = p.Class.Terms(p.Filter); err != nil {
			return nil, err
		}
	}
	return func(c *fleet.Class, r fleet.Row) bool {
		t, travels := terms[c]
		return travels && c.Matches(r, t)
	}, nil
}

// ScopeOf is what a client needs to work alone: itself and its servers, the
// products with an action request on its depot, and all that they depend on. In
// the background the request "always" does not count where there is no other.
func ScopeOf(tx *store.Tx, client, depot string, background bool) (Scope, error) {
	s := Scope{Client: client, Depot: depot}
	servers, err := tx.Select(fleet.Hosts, fleet.Filter{"type": fleet.OpsiConfigserver})
	if err != nil {
		return s, err
	}
	if len(servers) > 0 {
		s.Server = servers[0].Str("id")
	}
	requested, err := store.All[fleet.ProductOnClient](tx, fleet.ProductsOnClients, fleet.Filter{"clientId": client, "productType": fleet.LocalbootProduct})
	if err != nil {
		return s, err
	}
	in := map[string]bool{}
	var open []string
	alone := true // "always" is
	for _, p := range requested {
		if p.ActionRequest != "" && p.ActionRequest != fleet.None {
			open = append(open, string(p.ProductID))
			alone = alone && p.ActionRequest == fleet.Always
		}
	}
	if background && alone {
		open = nil
	}
	for len(open) > 0 {
		next := open[:0:0]
		for _, id := range open {
			in[id] = true
		}
		deps, err := tx.Select(fleet.ProductDependencies, fleet.Filter{"productId": open})
		if err != nil {
			return s, err
		}
		for _, d := range deps {
			if id := d.Str("requiredProductId"); !in[id] && !slices.Contains(next, id) {
				next = append(next, id)
			}
		}
		open = next
	}
	s.Products = []string{}
	for id := range in {
		s.Products = append(s.Products, id)
	}
	slices.Sort(s.Products)
	return s, nil
}
