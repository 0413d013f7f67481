package fleetwide

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// lookers may ask about many clients; a host knows of itself alone.
var lookers = []methods.Role{methods.Operator, methods.Reader, methods.Depot}

func questionMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "getClientIDs", Roles: lookers, Do: clientIDs, Deprecated: true, Instead: "host_getIdents",
			Doc: "The ids of all clients.",
		},
		{
			Name: "getClientsOnDepot", Roles: lookers, Do: onDepot, Deprecated: true, Instead: "configState_getClientToDepotserver",
			Doc:    "The ids of the clients that the depots serve.",
			Params: []methods.Param{{Name: "depotIds"}},
		},
		{
			Name: "getClientsWithProducts", Roles: lookers, Do: withProducts, Deprecated: true, Instead: "productOnClient_getObjects",
			Doc:    "The ids of the clients that know of one of the products; with an installation status, in that.",
			Params: []methods.Param{{Name: "productIds"}, {Name: "installationStatus", Optional: true}},
		},
		{
			Name: "getClientsWithActionRequest", Roles: lookers, Do: withRequest, Deprecated: true, Instead: "productOnClient_getObjects",
			Doc:    "The ids of the clients that have one of the action requests for some product.",
			Params: []methods.Param{{Name: "actionRequests"}},
		},
		{
			Name: "getClientsWithOutdatedProduct", Roles: lookers, Do: withOutdated, Deprecated: true, Instead: "host_select",
			Doc:    "The ids of the clients that have the product installed in another version than their depot's.",
			Params: []methods.Param{{Name: "productId"}},
		},
		{
			Name: "getSoftwareAuditDataCount", Roles: lookers, Do: count(fleet.AuditSoftwares, fleet.AuditSoftwareOnClients), Deprecated: true, Instead: "auditSoftwareOnClient_getObjects",
			Doc: "How many objects the inventory of software has.",
		},
		{
			Name: "getHardwareAuditDataCount", Roles: lookers, Do: count(fleet.AuditHardwares, fleet.AuditHardwareOnHosts), Deprecated: true, Instead: "auditHardwareOnHost_getObjects",
			Doc: "How many objects the inventory of hardware has.",
		},
	}
}

// column lists one column of the visible rows that match, each value once.
func column(c *methods.Call, class *fleet.Class, name string, f fleet.Filter) (any, error) {
	var ids []string
	err := c.View(func(tx *store.Tx) error {
		rows, err := c.SelectVisible(tx, class, f)
		for _, r := range rows {
			ids = append(ids, r.Str(name))
		}
		return err
	})
	return distinct(ids), err
}

func clientIDs(c *methods.Call) (any, error) {
	return column(c, fleet.Hosts, "id", fleet.Filter{"type": fleet.OpsiClient})
}

// some refuses an empty list, which a filter would read as "any".
func some(c *methods.Call, name string) ([]string, error) {
	values, err := c.Texts(name)
	if err == nil && len(values) == 0 {
		err = fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s names none", c.Method.Name, name)
	}
	return values, err
}

func onDepot(c *methods.Call) (any, error) {
	depots, err := some(c, "depotIds")
	if err != nil {
		return nil, err
	}
	v, err := c.Ask("configState_getClientToDepotserver", depots)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range v.([]any) {
		id, _ := e.(map[string]any)["clientId"].(string)
		ids = append(ids, id)
	}
	return distinct(ids), nil
}

func withProducts(c *methods.Call) (any, error) {
	products, err := some(c, "productIds")
	if err != nil {
		return nil, err
	}
	status, err := c.Texts("installationStatus")
	if err != nil {
		return nil, err
	}
	return column(c, fleet.ProductsOnClients, "clientId", fleet.Filter{"productId": products, "installationStatus": status})
}

func withRequest(c *methods.Call) (any, error) {
	actions, err := some(c, "actionRequests")
	if err != nil {
		return nil, err
	}
	return column(c, fleet.ProductsOnClients, "clientId", fleet.Filter{"actionRequest": actions})
}

func withOutdated(c *methods.Call) (any, error) {
	product, err := c.Text("productId")
	if err != nil {
		return nil, err
	}
	var ids []string
	err = c.View(func(tx *store.Tx) error {
		all, err := places(c, tx, product, nil)
		for _, p := range all {
			if p.outdated() {
				ids = append(ids, p.client)
			}
		}
		return err
	})
	return distinct(ids), err
}

func count(classes ...*fleet.Class) func(*methods.Call) (any, error) {
	return func(c *methods.Call) (any, error) {
		n := 0
		err := c.View(func(tx *store.Tx) error {
			for _, class := range classes {
				rows, err := c.SelectVisible(tx, class, nil)
				if err != nil {
					return err
				}
				n += len(rows)
			}
			return nil
		})
		return int64(n), err
	}
}
