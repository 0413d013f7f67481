package products

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

func sequenceMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "productOnClient_getObjectsWithSequence", Roles: methods.Everyone, Do: objectsWithSequence, Class: fleet.ProductsOnClients,
			Doc:    "Products on clients in the order of their actions; actionSequence is the place in the order, -1 without an action. Asked for attributes without actionSequence, the same as getObjects.",
			Params: []methods.Param{{Name: "attributes", Optional: true}, {Name: "filter", Rest: true}},
		},
		{
			Name: "productOnClient_getActionGroups", Roles: methods.Everyone, Do: actionGroups, Class: fleet.ProductsOnClients,
			Doc:    "The actions of a client, with those that dependencies demand, in groups of products that wait for each other; groups and products in the order of work.",
			Params: []methods.Param{{Name: "clientId"}},
		},
	}
}

func objectsWithSequence(c *methods.Call) (any, error) {
	attributes, err := c.Texts("attributes")
	if err != nil {
		return nil, err
	}
	out := []fleet.Row{}
	err = c.View(func(tx *store.Tx) error {
		rows, err := c.SelectVisible(tx, c.Method.Class, fleet.Filter(c.Rest))
		if err != nil {
			return err
		}
		if len(attributes) > 0 && !slices.Contains(attributes, "actionSequence") {
			for _, r := range rows {
				out = append(out, methods.Project(c.Method.Class, r, attributes))
			}
			return nil
		}
		clients, byClient := perClient(rows)
		plans, err := newPlanner(tx, clients)
		if err != nil {
			return err
		}
		for _, id := range clients {
			plan, err := plans.planOf(id, nil)
			if err != nil {
				return fleet.Errorf(fleet.Conflict, "cannot order the actions of %s: %w", id, err)
			}
			_, plan = onlyGiven(byClient[id], nil, plan)
			for _, r := range inSequence(byClient[id], plan, id) {
				out = append(out, methods.Project(c.Method.Class, r, attributes))
			}
		}
		return nil
	})
	return out, err
}

// inSequence puts the plan's products first, in order, then the others.
func inSequence(rows []fleet.Row, plan sequence.Plan, client string) []fleet.Row {
	byID := map[string]fleet.Row{}
	for _, r := range rows {
		if r.Str("productType") != fleet.NetbootProduct { // which the plan is not about
			byID[r.Str("productId")] = r
		}
	}
	var out []fleet.Row
	for n, step := range plan.Steps {
		id := string(step.ProductID)
		out = append(out, atWork(byID[id], step, client, n))
		delete(byID, id)
	}
	for _, r := range rows {
		if byID[r.Str("productId")] != nil || r.Str("productType") == fleet.NetbootProduct {
			r = r.Clone()
			r["actionSequence"] = int64(-1)
			out = append(out, r)
		}
	}
	return out
}

// atWork is a client's product, which may not be there yet, with its action and
// its place.
func atWork(have fleet.Row, step sequence.Step, client string, place int) fleet.Row {
	row := have.Clone()
	if row == nil {
		row = fleet.Row{"productId": string(step.ProductID), "productType": fleet.LocalbootProduct, "clientId": client}
		if checked, err := fleet.ProductsOnClients.Check(row, fleet.Creating); err == nil {
			row = checked
		}
	}
	row["actionRequest"], row["actionSequence"] = string(step.Action), int64(place)
	return row
}

func actionGroups(c *methods.Call) (any, error) {
	ids, err := c.HostIDs("clientId")
	if err == nil && len(ids) > 1 {
		err = fleet.Errorf(fleet.Invalid, "cannot call %s: parameter clientId names %d hosts", c.Method.Name, len(ids))
	}
	if err != nil {
		return nil, err
	}
	client := ids[0]
	out := []any{}
	err = c.View(func(tx *store.Tx) error {
		rows, err := c.SelectVisible(tx, c.Method.Class, fleet.Filter{"clientId": client})
		if err != nil || len(rows) == 0 {
			return err
		}
		plan, err := Plan(tx, client)
		if err != nil {
			return fleet.Errorf(fleet.Conflict, "cannot order the actions of %s: %w", client, err)
		}
		have := map[string]fleet.Row{}
		for _, r := range rows {
			if r.Str("productType") != fleet.NetbootProduct {
				have[r.Str("productId")] = r
			}
		}
		n := 0
		for _, g := range plan.Groups {
			group, priorities, dependencies := []any{}, map[string]any{}, map[string]any{}
			for _, s := range g.Steps {
				group = append(group, methods.Project(c.Method.Class, atWork(have[string(s.ProductID)], s, client, n), nil))
				priorities[string(s.ProductID)] = s.Priority
				n++
			}
			for _, d := range g.Dependencies {
				of, _ := dependencies[string(d.ProductID)].([]any)
				row := methods.Project(fleet.ProductDependencies, fleet.ProductDependencies.Encode(d), nil)
				dependencies[string(d.ProductID)] = append(of, row)
			}
			out = append(out, map[string]any{"priority": g.Priority, "product_on_clients": group, "priorities": priorities, "dependencies": dependencies})
		}
		return nil
	})
	return out, err
}
