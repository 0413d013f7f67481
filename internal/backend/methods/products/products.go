package methods

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

func productMethods() []*Method {
	return []*Method{
		{
			Name: "productOnClient_getObjectsWithSequence", Roles: Everyone, Do: objectsWithSequence, Class: fleet.ProductsOnClients,
			Doc:    "Products on clients in the order of their actions, with those that dependencies add; actionSequence is the place in the order, -1 without an action.",
			Params: []Param{{Name: "attributes", Optional: true}, {Name: "filter", Rest: true}},
		},
		{
			Name: "setProductActionRequestWithDependencies", Roles: []Role{Operator, Host}, Do: requestAction, Writes: true,
			Doc:    "Requests an action for a product on a client, and the actions that its dependencies demand. Returns all requests that were set, in order.",
			Params: []Param{{Name: "productId"}, {Name: "clientId"}, {Name: "actionRequest"}},
		},
	}
}

// Plan is the order of a client's actions, with those that dependencies add, by
// the versions on its depot. An error of sequence (products that wait for each
// other) comes with the part that can be done.
func Plan(tx *store.Tx, client string) (sequence.Plan, error) {
	onClient, err := store.All[fleet.ProductOnClient](tx, fleet.ProductsOnClients, fleet.Filter{"clientId": client})
	if err != nil {
		return sequence.Plan{}, err
	}
	return order(tx, client, onClient)
}

// order is Plan for requests that need not be those in the store.
func order(tx *store.Tx, client string, onClient []fleet.ProductOnClient) (sequence.Plan, error) {
	depot, err := DepotOf(tx, client)
	if err != nil {
		return sequence.Plan{}, err
	}
	in := sequence.Input{OnClient: onClient}
	if in.OnDepot, err = store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"depotId": depot}); err != nil {
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

func objectsWithSequence(c *Call) (any, error) {
	attributes, err := c.Texts("attributes")
	if err != nil {
		return nil, err
	}
	var out []fleet.Row
	err = c.View(func(tx *store.Tx) error {
		rows, err := c.SelectVisible(tx, c.Method.Class, fleet.Filter(c.Rest))
		if err != nil {
			return err
		}
		byClient := map[string][]fleet.Row{}
		var clients []string
		for _, r := range rows {
			id := r.Str("clientId")
			if byClient[id] == nil {
				clients = append(clients, id)
			}
			byClient[id] = append(byClient[id], r)
		}
		for _, id := range clients {
			plan, err := Plan(tx, id)
			if err != nil {
				return fleet.Errorf(fleet.Conflict, "cannot order the actions of %s: %w", id, err)
			}
			for _, r := range inSequence(byClient[id], plan, id) {
				out = append(out, Project(c.Method.Class, r, attributes))
			}
		}
		return nil
	})
	return out, err
}

// inSequence puts the plan's products first, in order, then the others.
func inSequence(rows []fleet.Row, plan sequence.Plan, client string) []fleet.Row {
	var out []fleet.Row
	for n, step := range plan.Steps {
		i := slices.IndexFunc(rows, func(r fleet.Row) bool { return r.Str("productId") == string(step.ProductID) })
		row := fleet.Row{"productId": string(step.ProductID), "productType": fleet.LocalbootProduct, "clientId": client}
		if i >= 0 {
			row = rows[i].Clone()
		} else if checked, err := fleet.ProductsOnClients.Check(row, fleet.Creating); err == nil {
			row = checked
		}
		row["actionRequest"], row["actionSequence"] = string(step.Action), int64(n)
		out = append(out, row)
	}
	for _, r := range rows {
		if !slices.ContainsFunc(plan.Steps, func(s sequence.Step) bool { return string(s.ProductID) == r.Str("productId") }) {
			r = r.Clone()
			r["actionSequence"] = int64(-1)
			out = append(out, r)
		}
	}
	return out
}

func requestAction(c *Call) (any, error) {
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
	var out []fleet.Row
	err = c.Update(func(tx *store.Tx) error {
		if err := hasScript(tx, product, client, fleet.Action(action)); err != nil {
			return err
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

// hasScript refuses a request that could never run.
func hasScript(tx *store.Tx, product, client string, action fleet.Action) error {
	if action == fleet.None {
		return nil
	}
	if _, err := tx.Get(fleet.Hosts, fleet.Row{"id": client, "type": fleet.OpsiClient}); err != nil {
		return fleet.WithHint(err, "see: fernwerk host list")
	}
	depot, err := DepotOf(tx, client)
	if err != nil {
		return err
	}
	onDepot, err := store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"productId": product, "depotId": depot})
	if err != nil {
		return err
	}
	if len(onDepot) == 0 {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot request %s of %s: depot %s does not have the product", action, product, depot),
			"install it with: fernwerk package install FILE; see: fernwerk product list")
	}
	for _, p := range onDepot {
		versions, err := store.All[fleet.Product](tx, fleet.Products, fleet.Filter{"id": product, "productVersion": p.ProductVersion, "packageVersion": p.PackageVersion})
		if err != nil {
			return err
		}
		for _, v := range versions {
			if v.Script(action) != "" {
				return nil
			}
		}
	}
	return fleet.Errorf(fleet.Invalid, "cannot request %s of %s: the product has no script for it", action, product)
}
