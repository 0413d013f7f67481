package params

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func valueMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "configState_getValues", Roles: methods.Everyone, Do: configValues,
			Doc: "Host parameters by object: {object: {config: [values]}}. With defaults the value that counts; without, only what is set for the object itself.",
			Params: []methods.Param{{Name: "config_ids", Optional: true}, {Name: "object_ids", Optional: true},
				{Name: "with_defaults", Optional: true, Default: true}},
		},
	}
}

// objects are the hosts asked for that the caller may see, all of them if none
// is named.
func objects(c *methods.Call, tx *store.Tx, name string) ([]fleet.Row, error) {
	ids, err := c.Texts(name)
	if err != nil {
		return nil, err
	}
	return c.SelectVisible(tx, fleet.Hosts, fleet.Filter{"id": ids})
}

func configValues(c *methods.Call) (any, error) {
	ids, err := c.Texts("config_ids")
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	err = c.View(func(tx *store.Tx) error {
		hosts, err := objects(c, tx, "object_ids")
		if err != nil {
			return err
		}
		if !c.Flag("with_defaults", true) {
			p, err := load(tx, ids, idsOf(hosts))
			for _, id := range idsOf(hosts) {
				if own := p.states[id]; len(own) > 0 {
					out[id] = asAny(own)
				}
			}
			return err
		}
		depots, err := depotsOf(tx, idsOf(hosts))
		if err != nil {
			return err
		}
		all := append(idsOf(hosts), depots.ids()...)
		p, err := load(tx, ids, all)
		if err != nil {
			return err
		}
		for _, id := range idsOf(hosts) {
			out[id] = p.at(depots.levels(id))
		}
		return nil
	})
	return out, err
}
