package hosts

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// wanParameters are seed A's four host parameters: a client in WAN mode asks
// nothing of the server when it starts or somebody logs in, but synchronises
// when its network comes up and by its timer.
var wanParameters = []struct {
	id, description string
	usual           bool // the default for all clients; WAN mode is the opposite
}{
	{"opsiclientd.event_gui_startup.active", "gui_startup active", true},
	{"opsiclientd.event_gui_startup{user_logged_in}.active", "gui_startup{user_logged_in} active", true},
	{"opsiclientd.event_net_connection.active", "event_net_connection active", false},
	{"opsiclientd.event_timer.active", "event_timer active", false},
}

// wanMode words how the four switches of a client stand.
func wanMode(values map[string]any) string {
	in := 0
	for _, p := range wanParameters {
		if v, _ := values[p.id].([]any); len(v) == 1 && v[0] == !p.usual {
			in++
		}
	}
	switch in {
	case 0:
		return "off"
	case len(wanParameters):
		return "on"
	}
	return "partly"
}

func wanParameterIDs() []string {
	ids := make([]string, len(wanParameters))
	for i, p := range wanParameters {
		ids[i] = p.id
	}
	return ids
}

func wanMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "changeWANConfig", Roles: []methods.Role{methods.Operator}, Do: changeWAN, Writes: true,
			Doc:    "Sets the four event switches of the clients for WAN mode, or back. Nobody else's change.",
			Params: []methods.Param{{Name: "enabled"}, {Name: "clientIds"}},
		},
		{
			Name: "host_getWANMode", Roles: []methods.Role{methods.Operator, methods.Reader, methods.Depot}, Do: wanModes,
			Doc:    "How clients stand to WAN mode: {client: {mode: on, off or partly, switches: {parameter: value}}}; of all clients if none is named.",
			Params: []methods.Param{{Name: "clientIds", Optional: true}},
		},
	}
}

func changeWAN(c *methods.Call) (any, error) {
	enabled, err := fleet.Truth(c.Args["enabled"])
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter enabled wants true or false", c.Method.Name)
	}
	clients, err := c.HostIDs("clientIds")
	if err != nil {
		return nil, err
	}
	return nil, c.Update(func(tx *store.Tx) error {
		for _, id := range clients {
			host, err := tx.Get(fleet.Hosts, fleet.Row{"id": id})
			if err == nil && host["type"] != fleet.OpsiClient {
				err = fleet.Errorf(fleet.Invalid, "cannot change WAN mode of %s: it is a server, and its values would be all its clients'", id)
			}
			if err != nil {
				return err
			}
		}
		for _, p := range wanParameters {
			if err := defaultParameter(tx, p.id, p.description, p.usual); err != nil {
				return err
			}
			for _, id := range clients {
				if err := tx.Put(fleet.ConfigStates, fleet.Row{"configId": p.id, "objectId": id, "values": []any{p.usual != enabled}}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func wanModes(c *methods.Call) (any, error) {
	clients, err := c.Texts("clientIds")
	if err != nil {
		return nil, err
	}
	ids, err := c.Ask("host_getIdents", "str", map[string]any{"type": fleet.OpsiClient, "id": clients})
	if list, _ := ids.([]any); err != nil || len(list) == 0 {
		return map[string]any{}, err
	}
	v, err := c.Ask("configState_getValues", wanParameterIDs(), ids)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for client, values := range v.(map[string]any) {
		switches := map[string]any{}
		for _, p := range wanParameters {
			switches[p.id] = p.usual
			if v, _ := values.(map[string]any)[p.id].([]any); len(v) > 0 {
				switches[p.id] = v[0]
			}
		}
		out[client] = map[string]any{"mode": wanMode(values.(map[string]any)), "switches": switches}
	}
	return out, nil
}

// defaultParameter makes a switch that is missing: a value without a default
// would leave the others without one.
func defaultParameter(tx *store.Tx, id, description string, value bool) error {
	_, err := tx.Get(fleet.Configs, fleet.Row{"id": id})
	if fleet.CodeOf(err) != fleet.NotFound {
		return err
	}
	r := fleet.Row{"type": fleet.BoolConfig, "id": id, "description": description, "defaultValues": []any{value}}
	return tx.Unguarded(func() error { return tx.Put(fleet.Configs, methods.Typed(r)) })
}
