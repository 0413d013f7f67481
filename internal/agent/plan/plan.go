// Package plan says what there is to do on this machine: the action requests of
// the working copy, in the order that their dependencies demand.
package plan

import (
	"github.com/fernwerk/fernwerk/internal/agent/configcache"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// Of reads the plan from the working copy. An error of sequence (products that
// wait for each other) comes with the part of the plan that can be done.
func Of(tx *store.Tx, client string) (sequence.Plan, error) {
	_, scope, err := configcache.Load(tx)
	if err != nil {
		return sequence.Plan{}, err
	}
	var in sequence.Input
	if in.OnClient, err = store.All[fleet.ProductOnClient](tx, fleet.ProductsOnClients, fleet.Filter{"clientId": client}); err != nil {
		return sequence.Plan{}, err
	}
	if in.OnDepot, err = store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"depotId": scope.Depot}); err != nil {
		return sequence.Plan{}, err
	}
	if in.Products, err = store.All[fleet.Product](tx, fleet.Products, nil); err != nil {
		return sequence.Plan{}, err
	}
	if in.Dependencies, err = store.All[fleet.ProductDependency](tx, fleet.ProductDependencies, nil); err != nil {
		return sequence.Plan{}, err
	}
	return sequence.Order(in)
}

// Wanted are the products of a plan.
func Wanted(p sequence.Plan) []string {
	ids := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		ids[i] = string(s.ProductID)
	}
	return ids
}
