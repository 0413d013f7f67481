// Package fleetwide holds the shortcuts by which opsi's administrators and
// their scripts ask and order something for all clients at once: which clients
// have a product, set it up wherever it is installed, for a host group, and so
// on. Each is what its parts do one by one, in one transaction, with the
// caller's rights.
package fleetwide

import (
	"maps"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Methods: slices.Concat(questionMethods(), orderMethods(), groupMethods(), kioskMethods())}
}

// place is a product at a client: what the client has of it, and the product in
// the version of the client's depot.
type place struct {
	client  string
	have    fleet.ProductOnClient // zero: it has none of it
	product *fleet.Product        // nil: the depot does not have it
}

func (p place) installed() bool { return p.have.InstallationStatus == fleet.Installed }

// outdated tells of an installation in another version than the depot's.
func (p place) outdated() bool {
	return p.installed() && p.product != nil &&
		(p.have.ProductVersion != p.product.ProductVersion || p.have.PackageVersion != p.product.PackageVersion)
}

func (p place) can(a fleet.Action) bool {
	return a == fleet.None || p.product != nil && p.product.Script(a) != ""
}

// places are the places of a product at the clients, or at all that the caller
// sees, by client.
func places(c *methods.Call, tx *store.Tx, product string, clients []string) ([]place, error) {
	product = strings.ToLower(product)
	if err := fleet.ValidProductID(product); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %w", c.Method.Name, err)
	}
	hosts, err := c.SelectVisible(tx, fleet.Hosts, fleet.Filter{"type": fleet.OpsiClient, "id": clients})
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(hosts))
	for i, h := range hosts {
		ids[i] = h.Str("id")
	}
	depotOf, err := params.DepotsOf(tx, ids)
	if err != nil {
		return nil, err
	}
	byDepot, err := productByDepot(tx, product)
	if err == nil && len(byDepot) == 0 {
		err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot call %s: no depot has product %s", c.Method.Name, product), "see: fernwerk product list")
	}
	if err != nil {
		return nil, err
	}
	have := map[string]fleet.ProductOnClient{}
	onClients, err := c.SelectVisible(tx, fleet.ProductsOnClients, fleet.Filter{"productId": product})
	if err != nil {
		return nil, err
	}
	for _, r := range onClients {
		var p fleet.ProductOnClient
		fleet.ProductsOnClients.Decode(r, &p)
		have[r.Str("clientId")] = p
	}
	out := make([]place, len(ids))
	for i, id := range ids {
		out[i] = place{client: id, have: have[id], product: byDepot[depotOf(id)]}
	}
	return out, nil
}

// productByDepot is a product in each depot's version.
func productByDepot(tx *store.Tx, product string) (map[string]*fleet.Product, error) {
	onDepots, err := store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"productId": product})
	if err != nil {
		return nil, err
	}
	versions, err := store.All[fleet.Product](tx, fleet.Products, fleet.Filter{"id": product})
	if err != nil {
		return nil, err
	}
	out := map[string]*fleet.Product{}
	for _, d := range onDepots {
		for i, v := range versions {
			if v.ProductVersion == d.ProductVersion && v.PackageVersion == d.PackageVersion {
				out[string(d.DepotID)] = &versions[i]
			}
		}
	}
	return out, nil
}

// request sets an action request, with the caller's rights.
func request(c *methods.Call, tx *store.Tx, p place, action fleet.Action) error {
	return c.MergeRow(tx, fleet.ProductsOnClients, fleet.Row{
		"productId": string(p.product.ID), "productType": p.product.Type, "clientId": p.client, "actionRequest": string(action),
	})
}

// members are the hosts or products of a group that exists.
func members(c *methods.Call, tx *store.Tx, kind, group string) ([]string, error) {
	have, err := tx.Select(fleet.Groups, fleet.Filter{"type": kind})
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(have, func(r fleet.Row) bool { return r["id"] == group }) {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot call %s: there is no %s %q", c.Method.Name, kind, group), "see: fernwerk group list")
	}
	rows, err := c.SelectVisible(tx, fleet.Memberships, fleet.Filter{"groupType": kind})
	ids := map[string]bool{}
	for _, r := range rows {
		if r["groupId"] == group {
			ids[r.Str("objectId")] = true
		}
	}
	return slices.Sorted(maps.Keys(ids)), err
}

// distinct are ids as an answer, sorted, each once.
func distinct(ids []string) []any {
	out := []any{}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		out = append(out, id)
	}
	return out
}
