package methods

import (
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// serviceMethods are about the service itself.
func serviceMethods() []*Method {
	return []*Method{
		{
			Name: "backend_getInterface", Roles: Everyone, Do: getInterface,
			Doc: "What can be called, as opsi describes it.",
		},
		{
			Name: "backend_info", Roles: Everyone, Do: backendInfo,
			Doc: "Version and kind of the service that answers.",
		},
		{
			Name: "backend_exit", Roles: Everyone, Do: func(*Call) (any, error) { return nil, nil },
			Doc: "Ends a conversation; the session is ended by /session/logout.",
		},
		{
			Name: "accessControl_authenticated", Roles: Everyone, Do: func(*Call) (any, error) { return true, nil },
			Doc: "True for whoever gets this far.",
		},
		{
			Name: "accessControl_userIsAdmin", Roles: Everyone, Do: func(c *Call) (any, error) { return c.Actor.Role == Administrator, nil },
			Doc: "Whether the caller is an administrator.",
		},
		{
			Name: "getServiceTime", Roles: Everyone, Do: serviceTime,
			Doc: "The service's clock, in local time or in UTC.", Params: []Param{{Name: "utctime", Optional: true}},
		},
	}
}

func getInterface(c *Call) (any, error) {
	var out []any
	for _, name := range c.s.names {
		m := c.s.table[name]
		var params, args []any
		args = append(args, "self")
		var defaults []any
		var keywords any
		for _, p := range m.Params {
			params = append(params, p.String())
			if p.Rest {
				keywords = p.Name
				continue
			}
			args = append(args, p.Name)
			if p.Optional {
				defaults = append(defaults, nil)
			}
		}
		out = append(out, map[string]any{
			"name": m.Name, "params": orEmpty(params), "args": args, "varargs": nil, "keywords": keywords,
			"defaults": defaults, "deprecated": false, "alternative_method": nil, "doc": m.Doc, "annotations": map[string]any{},
		})
	}
	return out, nil
}

func orEmpty(l []any) []any {
	if l == nil {
		return []any{}
	}
	return l
}

func backendInfo(c *Call) (any, error) {
	out := map[string]any{"realmodules": []any{}}
	for k, v := range c.s.ports.Info {
		out[k] = v
	}
	return out, nil
}

func serviceTime(c *Call) (any, error) {
	var now time.Time
	err := c.View(func(tx *store.Tx) error { now = tx.Now(); return nil })
	if !c.Flag("utctime", false) {
		now = now.Local()
	}
	return now.Format(time.DateTime), err
}
