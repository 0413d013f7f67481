package params

import (
	"cmp"
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// depotParameter says which depot serves a client.
const depotParameter = "clientconfig.depot.id"

func depotMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "configState_getClientToDepotserver", Roles: methods.Everyone, Do: clientToDepot,
			Doc: "Which depot serves which client; unless masterOnly, also which other depots hold the products (all of them, or those named) in the same versions.",
			Params: []methods.Param{{Name: "depotIds", Optional: true}, {Name: "clientIds", Optional: true},
				{Name: "masterOnly", Optional: true, Default: true}, {Name: "productIds", Optional: true}},
		},
		{
			Name: "getDepotId", Roles: methods.Everyone, Do: depotID, Deprecated: true, Instead: "configState_getClientToDepotserver",
			Doc:    "The depot that serves a client; without a client the config server.",
			Params: []methods.Param{{Name: "clientId", Optional: true}},
		},
	}
}

// depots tells which depot serves which host.
type depots struct {
	server string          // the config server
	known  map[string]bool // all servers
	of     map[string]string
	usual  string // of clients without a value of their own
}

// depotsOf reads the servers, and what the clients have.
func depotsOf(tx *store.Tx, clients []string) (depots, error) {
	d := depots{known: map[string]bool{}, of: map[string]string{}}
	servers, err := tx.Select(fleet.Hosts, fleet.Filter{"type": []string{fleet.OpsiDepotserver, fleet.OpsiConfigserver}})
	if err != nil {
		return d, err
	}
	for _, r := range servers {
		d.known[r.Str("id")] = true
		if r["type"] == fleet.OpsiConfigserver && d.server == "" {
			d.server = r.Str("id")
		}
	}
	p, err := load(tx, []string{depotParameter}, clients)
	if err != nil {
		return d, err
	}
	d.usual = d.existing(p.defaults[depotParameter])
	for client, values := range p.states {
		d.of[client] = d.existing(values[depotParameter])
	}
	return d, nil
}

// existing is the depot that values name; the config server if they name none
// that there is.
func (d depots) existing(values []any) string {
	if len(values) > 0 {
		if id, ok := values[0].(string); ok && d.known[id] {
			return id
		}
	}
	return d.server
}

// depot is the depot that serves a client; the config server has no other than
// itself, and depots hang on it.
func (d depots) depot(host string) string {
	if d.known[host] {
		return d.server
	}
	if id, ok := d.of[host]; ok {
		return id
	}
	return cmp.Or(d.usual, d.server)
}

// levels are the objects whose values a host heeds, the first most.
func (d depots) levels(host string) []string {
	return slices.Compact([]string{host, d.depot(host), d.server})
}

func (d depots) ids() []string { return slices.Sorted(maps.Keys(d.known)) }

// DepotsOf returns a function from one of the clients to the depot that serves
// it, for whoever asks for many.
func DepotsOf(tx *store.Tx, clients []string) (func(client string) string, error) {
	d, err := depotsOf(tx, clients)
	return d.depot, err
}

// DepotOf is the depot that serves a client.
func DepotOf(tx *store.Tx, client string) (string, error) {
	d, err := depotsOf(tx, []string{client})
	return d.depot(client), err
}

func depotID(c *methods.Call) (any, error) {
	id, err := c.Text("clientId")
	if err != nil {
		return nil, err
	}
	if c.Actor.Role == methods.Host && id != "" && id != c.Actor.ID {
		return nil, fleet.Errorf(fleet.Denied, "cannot call %s for %s: host %s has its own depot only", c.Method.Name, id, c.Actor.ID)
	}
	depot := ""
	err = c.View(func(tx *store.Tx) error {
		d, err := depotsOf(tx, []string{id})
		depot = d.depot(id)
		if id == "" {
			depot = d.server
		}
		return err
	})
	return depot, err
}

func clientToDepot(c *methods.Call) (any, error) {
	wanted, err := c.Texts("depotIds")
	if err != nil {
		return nil, err
	}
	products, err := c.Texts("productIds")
	if err != nil {
		return nil, err
	}
	ids, err := c.Texts("clientIds")
	if err != nil {
		return nil, err
	}
	out := []any{}
	err = c.View(func(tx *store.Tx) error {
		clients, err := c.SelectVisible(tx, fleet.Hosts, fleet.Filter{"type": fleet.OpsiClient, "id": ids})
		if err != nil {
			return err
		}
		depots, err := depotsOf(tx, idsOf(clients))
		if err != nil {
			return err
		}
		alternatives := map[string][]any{}
		if !c.Flag("masterOnly", true) {
			if alternatives, err = sameProducts(tx, products); err != nil {
				return err
			}
		}
		for _, h := range clients {
			depot := depots.depot(h.Str("id"))
			if len(wanted) > 0 && !slices.Contains(wanted, depot) {
				continue
			}
			others := alternatives[depot]
			if others == nil {
				others = []any{}
			}
			out = append(out, map[string]any{"clientId": h["id"], "depotId": depot, "alternativeDepotIds": others})
		}
		return nil
	})
	return out, err
}

// sameProducts finds, for every depot, the other depots that hold the products
// in the same versions. A product that a depot is changing at the moment makes
// the depot no alternative.
func sameProducts(tx *store.Tx, products []string) (map[string][]any, error) {
	rows, err := tx.Select(fleet.ProductsOnDepots, fleet.Filter{"productId": products})
	if err != nil {
		return nil, err
	}
	holds := map[string][]string{} // depot -> what it holds
	locked := map[string]bool{}
	for _, r := range rows {
		depot := r.Str("depotId")
		holds[depot] = append(holds[depot], r.Str("productId")+";"+r.Str("productVersion")+";"+r.Str("packageVersion"))
		locked[depot] = locked[depot] || r["locked"] == true
	}
	for _, list := range holds {
		slices.Sort(list)
	}
	out := map[string][]any{}
	for depot, mine := range holds {
		for _, other := range slices.Sorted(maps.Keys(holds)) {
			if other != depot && !locked[other] && slices.Equal(mine, holds[other]) {
				out[depot] = append(out[depot], other)
			}
		}
	}
	return out, nil
}
