package fleetwide

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func orderMethods() []*methods.Method {
	wherever := func(name, doc string, action fleet.Action, where func(place) bool) *methods.Method {
		return &methods.Method{
			Name: name, Roles: []methods.Role{methods.Operator}, Writes: true, Deprecated: true, Doc: doc + " Answers with their ids.",
			Params: []methods.Param{{Name: "productId"}},
			Do:     func(c *methods.Call) (any, error) { return order(c, action, where) },
		}
	}
	return []*methods.Method{
		{
			Name: "setProductActionRequest", Roles: []methods.Role{methods.Operator, methods.Host}, Do: requestOne, Writes: true, Deprecated: true, Instead: "productOnClient_updateObjects",
			Doc:    "Requests an action for a product on a client, and nothing else.",
			Params: []methods.Param{{Name: "productId"}, {Name: "clientId"}, {Name: "actionRequest"}},
		},
		wherever("setupWhereInstalled", "Requests a setup of the product for all clients that have it installed.", fleet.Setup, place.installed),
		wherever("setupWhereNotInstalled", "Requests a setup of the product for all clients that do not have it installed.", fleet.Setup,
			func(p place) bool { return !p.installed() }),
		wherever("setupWhereFailed", "Requests a setup of the product for all clients where its last action failed.", fleet.Setup,
			func(p place) bool { return p.have.ActionResult == fleet.Failed }),
		wherever("updateWhereInstalled", "Requests an update of the product for all clients that have it installed.", fleet.Update, place.installed),
		wherever("uninstallWhereInstalled", "Requests that the product be removed from all clients that have it installed.", fleet.Uninstall, place.installed),
		{
			Name: "setActionRequestWhereOutdated", Roles: []methods.Role{methods.Operator}, Do: orderOutdated, Writes: true, Deprecated: true,
			Doc:    "Requests an action for all clients that have the product installed in another version than their depot's. Answers with their ids.",
			Params: []methods.Param{{Name: "actionRequest"}, {Name: "productId"}},
		},
		{
			Name: "setActionRequestWhereOutdatedWithDependencies", Roles: []methods.Role{methods.Operator}, Do: orderOutdatedWith, Writes: true, Deprecated: true,
			Doc:    "The same, with the actions that dependencies demand; client by client.",
			Params: []methods.Param{{Name: "actionRequest"}, {Name: "productId"}},
		},
	}
}

// order requests an action wherever the product's version on the client's depot
// has a script for it.
func order(c *methods.Call, action fleet.Action, where func(place) bool) (any, error) {
	product, err := c.Text("productId")
	if err != nil {
		return nil, err
	}
	var ids []string
	err = c.Update(func(tx *store.Tx) error {
		all, err := places(c, tx, product, nil)
		if err != nil {
			return err
		}
		ids = nil
		for _, p := range all {
			if !where(p) || p.product == nil || !p.can(action) {
				continue
			}
			if err := request(c, tx, p, action); err != nil {
				return err
			}
			ids = append(ids, p.client)
		}
		return nil
	})
	return distinct(ids), err
}

func orderOutdated(c *methods.Call) (any, error) {
	action, err := c.Text("actionRequest")
	if err != nil {
		return nil, err
	}
	return order(c, fleet.Action(action), place.outdated)
}

func orderOutdatedWith(c *methods.Call) (any, error) {
	v, err := c.Ask("getClientsWithOutdatedProduct", c.Args["productId"])
	if err != nil {
		return nil, err
	}
	for _, id := range v.([]any) {
		if _, err := c.Ask("setProductActionRequestWithDependencies", c.Args["productId"], id, c.Args["actionRequest"]); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func requestOne(c *methods.Call) (any, error) {
	product, err := c.Text("productId")
	if err != nil {
		return nil, err
	}
	clients, err := c.HostIDs("clientId")
	if err != nil {
		return nil, err
	}
	action, err := c.Text("actionRequest")
	if err != nil {
		return nil, err
	}
	for _, id := range clients {
		if err := c.MayWrite(fleet.ProductsOnClients, fleet.Row{"clientId": id}); err != nil {
			return nil, err
		}
	}
	return nil, c.Update(func(tx *store.Tx) error {
		for _, id := range clients {
			if _, err := tx.Get(fleet.Hosts, fleet.Row{"id": id, "type": fleet.OpsiClient}); err != nil {
				return fleet.WithHint(err, "see: fernwerk host list")
			}
		}
		return orderFor(c, tx, product, clients, fleet.Action(action))
	})
}

// orderFor requests an action of the clients; one whose depot cannot is an
// error, and then nobody gets it.
func orderFor(c *methods.Call, tx *store.Tx, product string, clients []string, action fleet.Action) error {
	if len(clients) == 0 {
		return nil // as a filter it would mean all
	}
	all, err := places(c, tx, product, clients)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.product == nil {
			return fleet.Errorf(fleet.NotFound, "cannot request %s of %s for %s: its depot does not have the product", action, product, p.client)
		}
		if err := request(c, tx, p, action); err != nil {
			return err
		}
	}
	return nil
}
