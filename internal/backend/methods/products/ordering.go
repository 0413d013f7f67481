package products

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

func orderingMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "getProductOrdering", Roles: methods.Everyone, Do: productOrdering,
			Doc:    "The products of a depot: by id (not_sorted), and in the order in which they would be set up all at once (sorted).",
			Params: []methods.Param{{Name: "depotId"}, {Name: "sortAlgorithm", Optional: true}},
		},
	}
}

// firstActions are what a product is asked for when all are ordered: the first
// that it has a script for.
var firstActions = []fleet.Action{fleet.Setup, fleet.Always, fleet.Once, fleet.Custom, fleet.Uninstall}

func productOrdering(c *methods.Call) (any, error) {
	depots, err := c.HostIDs("depotId")
	if err != nil {
		return nil, err
	}
	if algorithm, err := c.Text("sortAlgorithm"); err != nil || algorithm != "" && algorithm != "algorithm1" {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: there is one sort algorithm, algorithm1", c.Method.Name)
	}
	all, sorted := []any{}, []any{}
	err = c.View(func(tx *store.Tx) error {
		in, err := inputOf(tx, depots[0])
		if err != nil {
			return err
		}
		in.OnClient = nil
		for _, p := range in.Products {
			if p.Type != fleet.LocalbootProduct || !onDepot(in.OnDepot, p) {
				continue
			}
			all = append(all, string(p.ID)) // the store has them by id
			for _, a := range firstActions {
				if p.Script(a) != "" {
					in.OnClient = append(in.OnClient, fleet.ProductOnClient{ProductID: p.ID, ActionRequest: a})
					break
				}
			}
		}
		plan, _ := sequence.Order(in) // what waits in a circle has no order
		placed := map[string]bool{}
		for _, s := range plan.Steps {
			sorted = append(sorted, string(s.ProductID))
			placed[string(s.ProductID)] = true
		}
		for _, id := range all {
			if !placed[id.(string)] {
				sorted = append(sorted, id)
			}
		}
		return nil
	})
	return map[string]any{"not_sorted": all, "sorted": sorted}, err
}

func onDepot(depot []fleet.ProductOnDepot, p fleet.Product) bool {
	for _, d := range depot {
		if d.ProductID == p.ID && d.ProductVersion == p.ProductVersion && d.PackageVersion == p.PackageVersion {
			return true
		}
	}
	return false
}
