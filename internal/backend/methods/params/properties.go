package params

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func propertyMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "productPropertyState_getValues", Roles: methods.Everyone, Do: propertyValues,
			Doc: "Property values by object: {object: {product: {property: [values]}}}. With defaults the value that counts; without, only what is set for the object itself.",
			Params: []methods.Param{{Name: "product_ids", Optional: true}, {Name: "property_ids", Optional: true}, {Name: "object_ids", Optional: true},
				{Name: "with_defaults", Optional: true, Default: true}},
		},
	}
}

// byProduct is {product: {property: [values]}}.
type byProduct map[string]map[string]any

func (b byProduct) set(product, property string, values any) {
	if b[product] == nil {
		b[product] = map[string]any{}
	}
	b[product][property] = list(values)
}

// lay puts values over those of b.
func (b byProduct) lay(over byProduct) {
	for product, properties := range over {
		for property, values := range properties {
			b.set(product, property, values)
		}
	}
}

func propertyValues(c *methods.Call) (any, error) {
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
		hosts, err := objects(c, tx, "object_ids")
		if err != nil {
			return err
		}
		depots, err := depotsOf(tx, idsOf(hosts))
		if err != nil {
			return err
		}
		states, err := propertyStates(tx, products, ids, append(idsOf(hosts), depots.ids()...))
		if err != nil {
			return err
		}
		if !c.Flag("with_defaults", true) {
			for _, id := range idsOf(hosts) {
				if own := states[id]; len(own) > 0 {
					out[id] = asAny(own)
				}
			}
			return nil
		}
		defaults, err := propertyDefaults(tx, products, ids)
		if err != nil {
			return err
		}
		for _, id := range idsOf(hosts) {
			depot := depots.depot(id)
			if depots.known[id] {
				depot = id
			}
			values := byProduct{}
			values.lay(defaults[depot])
			values.lay(states[depot])
			values.lay(states[id])
			out[id] = asAny(values)
		}
		return nil
	})
	return out, err
}

// propertyStates are the values that are set, by object.
func propertyStates(tx *store.Tx, products, ids, objects []string) (map[string]byProduct, error) {
	rows, err := tx.Select(fleet.ProductPropertyStates, named(fleet.Filter{"productId": products, "propertyId": ids}, "objectId", objects))
	if err != nil {
		return nil, err
	}
	out := map[string]byProduct{}
	for _, r := range rows {
		object := r.Str("objectId")
		if out[object] == nil {
			out[object] = byProduct{}
		}
		out[object].set(r.Str("productId"), r.Str("propertyId"), r["values"])
	}
	return out, nil
}

// propertyDefaults are the products' own, by depot: each in the version that
// the depot has.
func propertyDefaults(tx *store.Tx, products, ids []string) (map[string]byProduct, error) {
	type version struct{ id, product, pack string }
	of := func(r fleet.Row) version {
		return version{r.Str("productId"), r.Str("productVersion"), r.Str("packageVersion")}
	}
	rows, err := tx.Select(fleet.ProductProperties, fleet.Filter{"productId": products, "propertyId": ids})
	if err != nil {
		return nil, err
	}
	properties := map[version][]fleet.Row{}
	for _, r := range rows {
		properties[of(r)] = append(properties[of(r)], r)
	}
	onDepots, err := tx.Select(fleet.ProductsOnDepots, fleet.Filter{"productId": products})
	if err != nil {
		return nil, err
	}
	out := map[string]byProduct{}
	for _, d := range onDepots {
		depot := d.Str("depotId")
		if out[depot] == nil {
			out[depot] = byProduct{}
		}
		for _, r := range properties[of(d)] {
			out[depot].set(r.Str("productId"), r.Str("propertyId"), r["defaultValues"])
		}
	}
	return out, nil
}
