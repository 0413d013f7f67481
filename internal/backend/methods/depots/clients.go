package depots

import (
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func clientMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "configState_getClientToDepotserver", Roles: methods.Everyone, Do: clientToDepot,
			Doc: "Which depot serves which client, and which others have the same versions of the products (of all that its depot has, if none is named). " +
				"With masterOnly only clients of master depots are in the answer, and only those are alternatives.",
			Params: []methods.Param{{Name: "depotIds", Optional: true}, {Name: "clientIds", Optional: true}, {Name: "masterOnly", Optional: true}, {Name: "productIds", Optional: true}},
		},
		{
			Name: "getDepotSelectionAlgorithm", Roles: methods.Everyone, Do: selectionAlgorithm,
			Doc: "Python text by which an opsi client chooses among the depots that have what it needs; Fernwerk's agents get the way by name, in clientconfig.depot.selection_mode.",
		},
		{
			Name: "accessControl_getCaller", Roles: methods.Everyone, Do: caller,
			Doc: "Who the caller is: {id, role}.",
		},
	}
}

func caller(c *methods.Call) (any, error) {
	return map[string]any{"id": c.Actor.ID, "role": string(c.Actor.Role)}, nil
}

// shelf is one depot as clientToDepot looks at it.
type shelf struct {
	id     string
	has    map[string]string // product -> version
	locked map[string]bool
}

func clientToDepot(c *methods.Call) (any, error) {
	var lists [3][]string
	for i, name := range []string{"depotIds", "productIds"} {
		var err error
		if lists[i], err = c.Texts(name); err != nil {
			return nil, err
		}
	}
	wanted, products := lists[0], lists[1]
	masterOnly := c.Flag("masterOnly", false)
	out := []any{}
	err := c.View(func(tx *store.Tx) error {
		clients, err := c.Objects(tx, "clientIds")
		if err != nil {
			return err
		}
		ids := make([]string, len(clients))
		for i, h := range clients {
			ids[i] = h.Str("id")
		}
		depotOf, err := methods.DepotsOf(tx, ids)
		if err != nil {
			return err
		}
		shelves, err := shelvesOf(tx, masterOnly, products)
		if err != nil {
			return err
		}
		alternatives := map[string][]any{} // the same for all clients of a depot
		for _, h := range clients {
			depot := depotOf(h.Str("id"))
			if h["type"] != fleet.OpsiClient || len(wanted) > 0 && !slices.Contains(wanted, depot) {
				continue
			}
			own, known := shelves[depot]
			if masterOnly && !known {
				continue
			}
			if _, done := alternatives[depot]; !done {
				alternatives[depot] = own.alternatives(shelves, products)
			}
			out = append(out, map[string]any{"clientId": h["id"], "depotId": depot, "alternativeDepotIds": alternatives[depot]})
		}
		return nil
	})
	return out, err
}

// shelvesOf are the depots with their versions of the products.
func shelvesOf(tx *store.Tx, masterOnly bool, products []string) (map[string]*shelf, error) {
	servers, err := store.All[fleet.Host](tx, fleet.Hosts, fleet.Filter{"type": []string{fleet.OpsiDepotserver, fleet.OpsiConfigserver}})
	if err != nil {
		return nil, err
	}
	out := map[string]*shelf{}
	for _, s := range servers {
		if !masterOnly || s.IsMasterDepot {
			out[string(s.ID)] = &shelf{id: string(s.ID), has: map[string]string{}, locked: map[string]bool{}}
		}
	}
	if len(out) < 2 {
		return out, nil // no alternatives: nothing to compare
	}
	rows, err := store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"productId": products})
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if s := out[string(r.DepotID)]; s != nil {
			s.has[string(r.ProductID)] = r.ProductVersion + "-" + r.PackageVersion
			s.locked[string(r.ProductID)] = r.Locked
		}
	}
	return out, nil
}

// alternatives are the other depots that have the same versions of the products,
// and are not just changing them. Where the depot has none of the products
// itself, no other is as good.
func (s *shelf) alternatives(all map[string]*shelf, products []string) []any {
	out := []any{}
	if s == nil {
		return out
	}
	if len(products) == 0 {
		for id := range s.has {
			products = append(products, id)
		}
	}
	if len(products) == 0 {
		return out
	}
	for id, other := range all {
		same := id != s.id
		for _, p := range products {
			same = same && s.has[p] != "" && other.has[p] == s.has[p] && !other.locked[p]
		}
		if same {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return out
}
