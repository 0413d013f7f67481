// Package about is about the service itself: what can be called and by whom,
// what time it is, and the logs and the history that it keeps. It also knows
// the methods of opsi that are not here, and why.
package about

import (
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Methods: slices.Concat(serviceMethods(), accessMethods(), logMethods()), Absent: Absent()}
}

func serviceMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "backend_getInterface", Roles: methods.Everyone, Do: getInterface,
			Doc: "What can be called, as opsi describes it.",
		},
		{
			Name: "backend_info", Roles: methods.Everyone, Do: backendInfo,
			Doc: "Version and kind of the service that answers.",
		},
		{
			Name: "backend_exit", Roles: methods.Everyone, Do: func(*methods.Call) (any, error) { return nil, nil },
			Doc: "Ends a conversation; the session is ended by /session/logout.",
		},
		{
			Name: "getServiceTime", Roles: methods.Everyone, Do: serviceTime, Deprecated: true,
			Doc: "The service's clock, in local time or in UTC.", Params: []methods.Param{{Name: "utctime", Optional: true, Default: false}},
		},
		{
			Name: "getDomain", Roles: methods.Everyone, Do: domain,
			Doc: "The domain of the config server: what follows its name's first dot.",
		},
		{
			Name: "getOpsiCACert", Roles: methods.Everyone, Do: authority,
			Doc: "The certificate of the authority that signed the server's, as PEM.",
		},
	}
}

func getInterface(c *methods.Call) (any, error) {
	var out []any
	for _, m := range c.Table() {
		out = append(out, describe(m))
	}
	return out, nil
}

// describe is a method as opsi's clients read it: the arguments begin with the
// object that has the method, and defaults belong to the last of them.
func describe(m *methods.Method) map[string]any {
	params, args, defaults := []any{}, []any{"self"}, []any{}
	var keywords, instead any
	for _, p := range m.Params {
		params = append(params, p.String())
		if p.Rest {
			keywords = p.Name
			continue
		}
		args = append(args, p.Name)
		if p.Optional {
			defaults = append(defaults, p.Default)
		}
	}
	if m.Instead != "" {
		instead = m.Instead
	}
	return map[string]any{
		"name": m.Name, "params": params, "args": args, "varargs": nil, "keywords": keywords,
		"defaults": defaults, "deprecated": m.Deprecated, "alternative_method": instead, "doc": m.Doc, "annotations": map[string]any{},
	}
}

func backendInfo(c *methods.Call) (any, error) {
	out := map[string]any{"realmodules": map[string]any{}, "modules": map[string]any{"valid": true}}
	for k, v := range c.Ports().Info {
		out[k] = v
	}
	return out, nil
}

// serviceTime is precise to the microsecond: opsi's clients set their clocks by
// it and read no shorter form.
func serviceTime(c *methods.Call) (any, error) {
	var now time.Time
	err := c.View(func(tx *store.Tx) error { now = tx.Now(); return nil })
	if !c.Flag("utctime", false) {
		now = now.Local()
	}
	return now.Format("2006-01-02 15:04:05.000000"), err
}

func domain(c *methods.Call) (any, error) {
	name := ""
	err := c.View(func(tx *store.Tx) error {
		servers, err := tx.Select(fleet.Hosts, fleet.Filter{"type": fleet.OpsiConfigserver})
		if err == nil && len(servers) == 0 {
			err = fleet.Errorf(fleet.NotFound, "cannot call %s: there is no config server", c.Method.Name)
		}
		if err == nil {
			_, name, _ = strings.Cut(servers[0].Str("id"), ".")
		}
		return err
	})
	return name, err
}

func authority(c *methods.Call) (any, error) {
	if c.Ports().Authority == nil {
		return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: this service has no certificate authority", c.Method.Name)
	}
	return string(c.Ports().Authority()), nil
}
