package methods

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// dependencyMethods work on the objects that a caller brings: they answer what
// would be if those were the requests, and change nothing.
func dependencyMethods() []*Method {
	return []*Method{
		{
			Name: "productOnClient_generateSequence", Roles: Everyone, Do: onGiven(onlyGiven),
			Doc:    "The objects in the order of their actions; actionSequence is the place in the order, -1 without an action.",
			Params: []Param{{Name: "productOnClients"}},
		},
		{
			Name: "productOnClient_addDependencies", Roles: Everyone, Do: onGiven(withDemanded),
			Doc:    "The objects, and those that their dependencies demand, in the order of their actions.",
			Params: []Param{{Name: "productOnClients"}},
		},
	}
}

// onGiven orders the given objects, client by client. choose makes what is
// answered of the whole order.
func onGiven(choose func(given, known []fleet.Row, plan sequence.Plan) ([]fleet.Row, sequence.Plan)) func(*Call) (any, error) {
	return func(c *Call) (any, error) {
		rows, err := c.Rows("productOnClients")
		if err != nil {
			return nil, err
		}
		class := fleet.ProductsOnClients
		byClient := map[string][]fleet.Row{}
		var clients []string
		for _, r := range rows {
			if r, err = class.Check(clean(class, r), fleet.Creating); err != nil {
				return nil, err
			}
			id := r.Str("clientId")
			if !slices.Contains(clients, id) {
				clients = append(clients, id)
			}
			byClient[id] = append(byClient[id], r)
		}
		if err := c.About(clients...); err != nil {
			return nil, err
		}
		out := []fleet.Row{}
		err = c.View(func(tx *store.Tx) error {
			for _, id := range clients {
				given := byClient[id]
				known, err := notGiven(tx, id, given)
				if err != nil {
					return err
				}
				plan, err := order(tx, id, decoded(slices.Concat(given, known)))
				if err != nil {
					return fleet.Errorf(fleet.Conflict, "cannot order the actions of %s: %w", id, err)
				}
				chosen, plan := choose(given, known, plan)
				for _, r := range inSequence(chosen, plan, id) {
					out = append(out, Project(class, r, nil))
				}
			}
			return nil
		})
		return out, err
	}
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
