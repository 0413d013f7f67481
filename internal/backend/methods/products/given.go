package products

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// givenMethods work on the objects that a caller brings: they answer what
// would be if those were the requests, and change nothing.
func givenMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "productOnClient_generateSequence", Roles: methods.Everyone, Do: onGiven(onlyGiven),
			Doc:    "The objects in the order of their actions; actionSequence is the place in the order, -1 without an action.",
			Params: []methods.Param{{Name: "productOnClients"}},
		},
		{
			Name: "productOnClient_addDependencies", Roles: methods.Everyone, Do: onGiven(withDemanded),
			Doc:    "The objects, and those that their dependencies demand, in the order of their actions.",
			Params: []methods.Param{{Name: "productOnClients"}},
		},
		{
			Name: "productOnClient_updateObjectsWithDependencies", Roles: []methods.Role{methods.Operator, methods.Depot, methods.Host}, Do: updateWithDemanded,
			Class: fleet.ProductsOnClients, Writes: true,
			Doc:    "Changes the objects, and sets the actions that their dependencies demand. Returns all that have a part in the order, in order.",
			Params: []methods.Param{{Name: "productOnClients"}},
		},
	}
}

// onGiven orders the given objects, client by client. choose makes what is
// answered of the whole order.
func onGiven(choose func(given, known []fleet.Row, plan sequence.Plan) ([]fleet.Row, sequence.Plan)) func(*methods.Call) (any, error) {
	return func(c *methods.Call) (any, error) {
		rows, err := givenRows(c)
		if err != nil {
			return nil, err
		}
		out := []fleet.Row{}
		err = c.View(func(tx *store.Tx) error {
			rows, err := ordered(tx, rows, choose)
			for _, r := range rows {
				out = append(out, methods.Project(fleet.ProductsOnClients, r, nil))
			}
			return err
		})
		return out, err
	}
}

// givenRows are the objects of the call, whole. A host may bring its own only.
func givenRows(c *methods.Call) ([]fleet.Row, error) {
	rows, err := c.Rows("productOnClients")
	if err != nil {
		return nil, err
	}
	out := make([]fleet.Row, len(rows))
	clients := make([]string, len(rows))
	for i, r := range rows {
		if out[i], err = fleet.ProductsOnClients.Check(methods.Clean(fleet.ProductsOnClients, r), fleet.Creating); err != nil {
			return nil, err
		}
		clients[i] = out[i].Str("clientId")
	}
	return out, c.About(clients...)
}

// ordered are the rows in the order of their actions, client by client.
func ordered(tx *store.Tx, rows []fleet.Row, choose func(given, known []fleet.Row, plan sequence.Plan) ([]fleet.Row, sequence.Plan)) ([]fleet.Row, error) {
	clients, byClient := perClient(rows)
	plans, err := newPlanner(tx, clients)
	if err != nil {
		return nil, err
	}
	var out []fleet.Row
	for _, id := range clients {
		given := byClient[id]
		known, err := notGiven(tx, id, given)
		if err != nil {
			return nil, err
		}
		plan, err := plans.plan(id, decoded(slices.Concat(given, known)))
		if err != nil {
			return nil, fleet.Errorf(fleet.Conflict, "cannot order the actions of %s: %w", id, err)
		}
		chosen, plan := choose(given, known, plan)
		out = append(out, inSequence(chosen, plan, id)...)
	}
	return out, nil
}

// updateWithDemanded writes what is given first, as updateObjects does, so that
// what is not given of an object is what the store has of it.
func updateWithDemanded(c *methods.Call) (any, error) {
	class := fleet.ProductsOnClients
	rows, err := c.Rows("productOnClients")
	if err != nil {
		return nil, err
	}
	if _, err := givenRows(c); err != nil {
		return nil, err
	}
	out := []fleet.Row{}
	err = c.Update(func(tx *store.Tx) error {
		var whole []fleet.Row
		for _, r := range rows {
			r = methods.Clean(class, r)
			if err := c.MergeRow(tx, class, r); err != nil {
				return err
			}
			written, err := tx.Get(class, r)
			if err != nil {
				return err
			}
			whole = append(whole, written)
		}
		all, err := ordered(tx, whole, withDemanded)
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.Str("actionRequest") != string(fleet.None) {
				if err := request(tx, identity(r)); err != nil {
					return err
				}
			}
			out = append(out, methods.Project(class, r, nil))
		}
		return nil
	})
	return out, err
}

// identity is what a request sets of a row.
func identity(r fleet.Row) fleet.Row {
	return fleet.Row{"productId": r["productId"], "productType": r["productType"], "clientId": r["clientId"], "actionRequest": r["actionRequest"]}
}

// notGiven are the client's further products, as they are and without a
// request: what they have counts, what they shall get does not.
func notGiven(tx *store.Tx, client string, given []fleet.Row) ([]fleet.Row, error) {
	rows, err := tx.Select(fleet.ProductsOnClients, fleet.Filter{"clientId": client})
	rows = slices.DeleteFunc(rows, func(r fleet.Row) bool {
		return slices.ContainsFunc(given, func(g fleet.Row) bool {
			return g.Str("productId") == r.Str("productId") && g.Str("productType") == r.Str("productType")
		})
	})
	for i, r := range rows {
		rows[i] = r.Clone()
		rows[i]["actionRequest"] = string(fleet.None)
	}
	return rows, err
}

func decoded(rows []fleet.Row) []fleet.ProductOnClient {
	out := make([]fleet.ProductOnClient, len(rows))
	for i, r := range rows {
		fleet.ProductsOnClients.Decode(r, &out[i])
	}
	return out
}

// onlyGiven leaves out what is only demanded, and what a given object has no
// request for.
func onlyGiven(given, _ []fleet.Row, plan sequence.Plan) ([]fleet.Row, sequence.Plan) {
	plan.Steps = slices.DeleteFunc(plan.Steps, func(s sequence.Step) bool {
		return !slices.ContainsFunc(given, func(r fleet.Row) bool {
			return r.Str("productId") == string(s.ProductID) && r.Str("actionRequest") == string(s.Action)
		})
	})
	return given, plan
}

// withDemanded adds the products that have a part in the order.
func withDemanded(given, known []fleet.Row, plan sequence.Plan) ([]fleet.Row, sequence.Plan) {
	out := slices.Clone(given)
	for _, r := range known {
		if slices.ContainsFunc(plan.Steps, func(s sequence.Step) bool { return r.Str("productId") == string(s.ProductID) }) {
			out = append(out, r)
		}
	}
	return out, plan
}

// perClient sorts rows by their clients, which stand in the order of their first
// rows.
func perClient(rows []fleet.Row) (clients []string, of map[string][]fleet.Row) {
	of = map[string][]fleet.Row{}
	for _, r := range rows {
		id := r.Str("clientId")
		if of[id] == nil {
			clients = append(clients, id)
		}
		of[id] = append(of[id], r)
	}
	return clients, of
}
