package products

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func requestMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "setProductActionRequestWithDependencies", Roles: []methods.Role{methods.Operator, methods.Host}, Do: requestAction, Writes: true,
			Doc:    "Requests an action for a product on a client, and the actions that its dependencies demand. Returns all requests that were set, in order.",
			Params: []methods.Param{{Name: "productId"}, {Name: "clientId"}, {Name: "actionRequest"}},
		},
	}
}

func requestAction(c *methods.Call) (any, error) {
	product, err := c.Text("productId")
	if err != nil {
		return nil, err
	}
	client, err := c.Text("clientId")
	if err != nil {
		return nil, err
	}
	action, err := c.Text("actionRequest")
	if err != nil {
		return nil, err
	}
	row := fleet.Row{"productId": product, "productType": fleet.LocalbootProduct, "clientId": client, "actionRequest": action}
	if err := c.MayWrite(fleet.ProductsOnClients, row); err != nil {
		return nil, err
	}
	out := []fleet.Row{}
	err = c.Update(func(tx *store.Tx) error {
		netboot, err := hasScript(tx, product, client, fleet.Action(action))
		if err != nil {
			return err
		}
		if netboot { // it has no dependencies
			row["productType"] = fleet.NetbootProduct
			out = append(out, row)
			return request(tx, row)
		}
		if err := request(tx, row); err != nil {
			return err
		}
		plan, err := Plan(tx, client)
		if err != nil {
			return fleet.Errorf(fleet.Conflict, "cannot request %s of %s for %s: %w", action, product, client, err)
		}
		for _, s := range plan.Steps {
			r := fleet.Row{"productId": string(s.ProductID), "productType": fleet.LocalbootProduct, "clientId": client, "actionRequest": string(s.Action)}
			if !s.Requested {
				if err := request(tx, r); err != nil {
					return err
				}
			}
			r["why"] = s.Why
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// request sets an action request on a product on a client that may not be there yet.
func request(tx *store.Tx, r fleet.Row) error {
	err := tx.Patch(fleet.ProductsOnClients, r)
	if fleet.CodeOf(err) == fleet.NotFound {
		err = tx.Put(fleet.ProductsOnClients, r)
	}
	return err
}

// hasScript refuses a request that could never run, and tells whether it is one
// of a netboot product.
func hasScript(tx *store.Tx, product, client string, action fleet.Action) (netboot bool, err error) {
	if action == fleet.None {
		return false, nil
	}
	if _, err := tx.Get(fleet.Hosts, fleet.Row{"id": client, "type": fleet.OpsiClient}); err != nil {
		return false, fleet.WithHint(err, "see: fernwerk host list")
	}
	depot, err := params.DepotOf(tx, client)
	if err != nil {
		return false, err
	}
	onDepot, err := store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"productId": product, "depotId": depot})
	if err != nil {
		return false, err
	}
	if len(onDepot) == 0 {
		return false, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot request %s of %s: depot %s does not have the product", action, product, depot),
			"install it with: fernwerk package install FILE; see: fernwerk product list")
	}
	for _, p := range onDepot {
		versions, err := store.All[fleet.Product](tx, fleet.Products, fleet.Filter{"id": product, "productVersion": p.ProductVersion, "packageVersion": p.PackageVersion})
		if err != nil {
			return false, err
		}
		for _, v := range versions {
			if v.Script(action) != "" {
				return p.ProductType == fleet.NetbootProduct, nil
			}
		}
	}
	return false, fleet.Errorf(fleet.Invalid, "cannot request %s of %s: the product has no script for it", action, product)
}
