package methods

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Host parameters that the server itself reads.
const (
	depotParameter = "clientconfig.depot.id"
)

func stateMethods() []*Method {
	return []*Method{
		{
			Name: "configState_getValues", Roles: Everyone, Do: configValues,
			Doc:    "Host parameters by object: {object: {config: [values]}}. A client's value counts before its depot's, that before the config server's, that before the default.",
			Params: []Param{{Name: "config_ids", Optional: true}, {Name: "object_ids", Optional: true}, {Name: "with_defaults", Optional: true}},
		},
		{
			Name: "productPropertyState_getValues", Roles: Everyone, Do: propertyValues,
			Doc:    "Property values by object: {object: {product: {property: [values]}}}. A client's value counts before its depot's, that before the product's default.",
			Params: []Param{{Name: "product_ids", Optional: true}, {Name: "property_ids", Optional: true}, {Name: "object_ids", Optional: true}, {Name: "with_defaults", Optional: true}},
		},
		{
			Name: "configState_getClientToDepotserver", Roles: Everyone, Do: clientToDepot,
			Doc:    "Which depot serves which client.",
			Params: []Param{{Name: "depotIds", Optional: true}, {Name: "clientIds", Optional: true}, {Name: "masterOnly", Optional: true}, {Name: "productIds", Optional: true}},
		},
	}
}

// objects are the hosts asked for that the caller may see, all of them if none
// is named.
func (c *Call) objects(tx *store.Tx, name string) ([]fleet.Row, error) {
	ids, err := c.Texts(name)
	if err != nil {
		return nil, err
	}
	f := fleet.Filter{"id": ids}
	if len(ids) == 0 {
		f["type"] = fleet.OpsiClient
	}
	return c.SelectVisible(tx, fleet.Hosts, f)
}

func configValues(c *Call) (any, error) {
	ids, err := c.Texts("config_ids")
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	err = c.View(func(tx *store.Tx) error {
		hosts, err := c.objects(tx, "object_ids")
		if err != nil {
			return err
		}
		depots, err := depotsOf(tx, idsOf(hosts))
		if err != nil {
			return err
		}
		objects := idsOf(hosts)
		for _, h := range hosts {
			objects = append(objects, depots(h.Str("id")))
		}
		p, err := loadParameters(tx, ids, append(objects, depots("")))
		if err != nil {
			return err
		}
		for _, h := range hosts {
			values := map[string]any{}
			for id, def := range p.defaults {
				if v, ok := p.of(id, h.Str("id"), depots(h.Str("id")), depots("")); ok {
					values[id] = v
				} else if c.Flag("with_defaults", true) {
					values[id] = def
				}
			}
			out[h.Str("id")] = values
		}
		return nil
	})
	return out, err
}

// parameters are host parameters with their values by object.
type parameters struct {
	defaults map[string][]any
	states   map[string]map[string][]any // object -> config -> values
}

// fewObjects is up to how many objects their values are asked for by name: for
// more, reading all is quicker.
const fewObjects = 1000

// loadParameters reads the parameters whose ids match, with the values that the
// objects have, and perhaps those of others.
func loadParameters(tx *store.Tx, ids, objects []string) (parameters, error) {
	p := parameters{defaults: map[string][]any{}, states: map[string]map[string][]any{}}
	configs, err := tx.Select(fleet.Configs, fleet.Filter{"id": ids})
	if err != nil {
		return p, err
	}
	for _, r := range configs {
		p.defaults[r.Str("id")] = list(r["defaultValues"])
	}
	f := fleet.Filter{"configId": ids}
	if slices.Sort(objects); len(objects) <= fewObjects {
		f["objectId"] = slices.Compact(objects)
	}
	states, err := tx.Select(fleet.ConfigStates, f)
	if err != nil {
		return p, err
	}
	for _, r := range states {
		object := r.Str("objectId")
		if p.states[object] == nil {
			p.states[object] = map[string][]any{}
		}
		p.states[object][r.Str("configId")] = list(r["values"])
	}
	return p, nil
}

// of finds the value that the first of the objects has.
func (p parameters) of(config string, objects ...string) ([]any, bool) {
	for _, o := range objects {
		if v, ok := p.states[o][config]; ok {
			return v, true
		}
	}
	return nil, false
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{}
}

func idsOf(hosts []fleet.Row) []string {
	ids := make([]string, len(hosts))
	for i, h := range hosts {
		ids[i] = h.Str("id")
	}
	return ids
}

// depotsOf returns a function from one of the clients to its depot; "" gives
// the config server, which is the depot of whoever has no other.
func depotsOf(tx *store.Tx, clients []string) (func(client string) string, error) {
	servers, err := tx.Select(fleet.Hosts, fleet.Filter{"type": fleet.OpsiConfigserver})
	if err != nil {
		return nil, err
	}
	server := ""
	if len(servers) > 0 {
		server = servers[0].Str("id")
	}
	p, err := loadParameters(tx, []string{depotParameter}, clients)
	if err != nil {
		return nil, err
	}
	return func(client string) string {
		values, ok := p.of(depotParameter, client)
		if !ok {
			values = p.defaults[depotParameter]
		}
		if len(values) > 0 && client != "" {
			if id, ok := values[0].(string); ok && id != "" {
				return id
			}
		}
		return server
	}, nil
}

// DepotOf is the depot that serves a client.
func DepotOf(tx *store.Tx, client string) (string, error) {
	depots, err := depotsOf(tx, []string{client})
	if err != nil {
		return "", err
	}
	return depots(client), nil
}

func clientToDepot(c *Call) (any, error) {
	wanted, err := c.Texts("depotIds")
	if err != nil {
		return nil, err
	}
	out := []any{}
	err = c.View(func(tx *store.Tx) error {
		clients, err := c.objects(tx, "clientIds")
		if err != nil {
			return err
		}
		depots, err := depotsOf(tx, idsOf(clients))
		if err != nil {
			return err
		}
		for _, h := range clients {
			depot := depots(h.Str("id"))
			if h["type"] != fleet.OpsiClient || len(wanted) > 0 && !slices.Contains(wanted, depot) {
				continue
			}
			out = append(out, map[string]any{"clientId": h["id"], "depotId": depot, "alternativeDepotIds": []any{}})
		}
		return nil
	})
	return out, err
}

func propertyValues(c *Call) (any, error) {
	products, err := c.Texts("product_ids")
	if err != nil {
		return nil, err
	}
	ids, err := c.Texts("property_ids")
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	err = c.View(func(tx *store.Tx) error {
		hosts, err := c.objects(tx, "object_ids")
		if err != nil {
			return err
		}
		depots, err := depotsOf(tx, idsOf(hosts))
		if err != nil {
			return err
		}
		for _, h := range hosts {
			values, err := Properties(tx, h.Str("id"), depots(h.Str("id")), products, ids, c.Flag("with_defaults", true))
			if err != nil {
				return err
			}
			out[h.Str("id")] = values
		}
		return nil
	})
	return out, err
}

// Properties are a client's values of the properties of the products on its
// depot: {product: {property: [values]}}.
func Properties(tx *store.Tx, client, depot string, products, ids []string, withDefaults bool) (map[string]any, error) {
	onDepot, err := store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"depotId": depot, "productId": products})
	if err != nil {
		return nil, err
	}
	states, err := store.All[fleet.ProductPropertyState](tx, fleet.ProductPropertyStates,
		fleet.Filter{"objectId": []string{depot, client}, "productId": products, "propertyId": ids})
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, p := range onDepot {
		values := map[string]any{}
		properties, err := store.All[fleet.ProductProperty](tx, fleet.ProductProperties,
			fleet.Filter{"productId": string(p.ProductID), "productVersion": p.ProductVersion, "packageVersion": p.PackageVersion, "propertyId": ids})
		if err != nil {
			return nil, err
		}
		for _, q := range properties {
			if withDefaults {
				values[q.PropertyID] = list(q.DefaultValues)
			}
			for _, object := range []string{depot, client} { // the client's comes last and counts
				for _, s := range states {
					if string(s.ObjectID) == object && s.ProductID == p.ProductID && s.PropertyID == q.PropertyID {
						values[q.PropertyID] = list(s.Values)
					}
				}
			}
		}
		out[string(p.ProductID)] = values
	}
	return out, nil
}

// ParametersOf are a client's host parameters whose ids match the patterns, as
// configState_getValues would say them, defaults included.
func ParametersOf(tx *store.Tx, client string, patterns ...string) (map[fleet.ConfigID][]any, error) {
	depots, err := depotsOf(tx, []string{client})
	if err != nil {
		return nil, err
	}
	p, err := loadParameters(tx, patterns, []string{client, depots(client), depots("")})
	if err != nil {
		return nil, err
	}
	out := make(map[fleet.ConfigID][]any, len(p.defaults))
	for id, def := range p.defaults {
		v, ok := p.of(id, client, depots(client), depots(""))
		if !ok {
			v = def
		}
		out[fleet.ConfigID(id)] = v
	}
	return out, nil
}
