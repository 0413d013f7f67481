// Package products is about what shall be done with products on clients, and in
// which order: package sequence decides it, the methods here read what it needs
// and answer as opsi does.
package products

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Methods: slices.Concat(sequenceMethods(), givenMethods(), requestMethods(), orderingMethods())}
}

// Plan is the order of a client's actions, with those that dependencies add, by
// the versions on its depot. An error of sequence (products that wait for each
// other) comes with the part that can be done.
func Plan(tx *store.Tx, client string) (sequence.Plan, error) {
	p, err := newPlanner(tx, []string{client})
	if err != nil {
		return sequence.Plan{}, err
	}
	return p.planOf(client, nil)
}

// PlanOf is Plan for the requests of some products only. What they depend on
// has its part in the order, whether or not it is one of them.
func PlanOf(tx *store.Tx, client string, some func(fleet.ProductID) bool) (sequence.Plan, error) {
	p, err := newPlanner(tx, []string{client})
	if err != nil {
		return sequence.Plan{}, err
	}
	return p.planOf(client, some)
}

// planner makes the plans of several clients; what a depot has it reads once.
type planner struct {
	tx      *store.Tx
	depotOf func(client string) string
	inputs  map[string]sequence.Input // by depot
}

func newPlanner(tx *store.Tx, clients []string) (*planner, error) {
	depotOf, err := params.DepotsOf(tx, clients)
	return &planner{tx: tx, depotOf: depotOf, inputs: map[string]sequence.Input{}}, err
}

// planOf is the plan for the requests in the store, if some is not nil only
// for those of the products that it accepts.
func (p *planner) planOf(client string, some func(fleet.ProductID) bool) (sequence.Plan, error) {
	onClient, err := store.All[fleet.ProductOnClient](p.tx, fleet.ProductsOnClients, fleet.Filter{"clientId": client})
	if err != nil {
		return sequence.Plan{}, err
	}
	for i := range onClient {
		if some != nil && !some(onClient[i].ProductID) {
			onClient[i].ActionRequest = fleet.None
		}
	}
	return p.plan(client, onClient)
}

// plan is the plan for requests that need not be those in the store.
func (p *planner) plan(client string, onClient []fleet.ProductOnClient) (sequence.Plan, error) {
	depot := p.depotOf(client)
	in, known := p.inputs[depot]
	if !known {
		var err error
		if in, err = inputOf(p.tx, depot); err != nil {
			return sequence.Plan{}, err
		}
		p.inputs[depot] = in
	}
	in.OnClient = onClient
	return sequence.Order(in)
}

// inputOf is what a depot has, without a client.
func inputOf(tx *store.Tx, depot string) (in sequence.Input, err error) {
	if in.OnDepot, err = store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"depotId": depot}); err != nil {
		return in, err
	}
	if in.Products, err = store.All[fleet.Product](tx, fleet.Products, nil); err != nil {
		return in, err
	}
	in.Dependencies, err = store.All[fleet.ProductDependency](tx, fleet.ProductDependencies, nil)
	return in, err
}
