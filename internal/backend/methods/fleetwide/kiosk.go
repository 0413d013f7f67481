package fleetwide

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// demandGroups are the product groups that users may install from by themselves.
const demandGroups = "software-on-demand.product-group-ids"

func kioskMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "getKioskProductInfosForClient", Roles: methods.Everyone, Do: kiosk,
			Doc:    "What the user of a client may install by himself: the products of the groups in software-on-demand.product-group-ids that the client's depot has. With addConfigs {configStates, products}.",
			Params: []methods.Param{{Name: "clientId"}, {Name: "addConfigs", Optional: true, Default: false}},
		},
	}
}

func kiosk(c *methods.Call) (any, error) {
	clients, err := c.HostIDs("clientId")
	if err != nil {
		return nil, err
	}
	client := clients[0]
	if c.Actor.Role == methods.Host && client != c.Actor.ID {
		return nil, fleet.Errorf(fleet.Denied, "cannot call %s for %s: host %s asks for itself only", c.Method.Name, client, c.Actor.ID)
	}
	offers, configs := []any{}, map[string]any{}
	err = c.View(func(tx *store.Tx) error {
		if _, err := tx.Get(fleet.Hosts, fleet.Row{"id": client, "type": fleet.OpsiClient}); err != nil {
			return err
		}
		values, err := params.Of(tx, client, "software-on-demand.*")
		if err != nil {
			return err
		}
		for id, v := range values {
			configs[string(id)] = v
		}
		products, err := onDemand(tx, values[demandGroups])
		if err != nil {
			return err
		}
		for _, product := range products {
			all, err := places(c, tx, product, []string{client})
			if fleet.CodeOf(err) == fleet.NotFound || err == nil && (len(all) == 0 || all[0].product == nil) {
				continue // not on its depot
			}
			if err != nil {
				return err
			}
			offer, err := offerOf(tx, all[0])
			if err != nil {
				return err
			}
			offers = append(offers, offer)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c.Flag("addConfigs", false) {
		return map[string]any{"configStates": configs, "products": offers}, nil
	}
	return offers, nil
}

// onDemand are the products of the groups that the values name; one value may
// name several, with commas.
func onDemand(tx *store.Tx, values []any) ([]string, error) {
	var groups []string
	for _, v := range values {
		for id := range strings.SplitSeq(fmt.Sprint(v), ",") {
			if id = strings.TrimSpace(id); id != "" {
				groups = append(groups, id)
			}
		}
	}
	rows, err := tx.Select(fleet.Memberships, fleet.Filter{"groupType": fleet.ProductGroup})
	var products []string
	for _, r := range rows {
		if slices.Contains(groups, r.Str("groupId")) {
			products = append(products, r.Str("objectId"))
		}
	}
	slices.Sort(products)
	return slices.Compact(products), err
}

// offerOf is a product as opsi's kiosk client reads it.
func offerOf(tx *store.Tx, p place) (map[string]any, error) {
	version := p.product.ProductVersion + "-" + p.product.PackageVersion
	offer := map[string]any{
		"productId": string(p.product.ID), "productVersion": p.product.ProductVersion, "packageVersion": p.product.PackageVersion, "versionStr": version,
		"productName": p.product.Name, "description": p.product.Description, "advice": p.product.Advice, "priority": p.product.Priority, "productType": p.product.Type,
		"hasSetup": p.can(fleet.Setup), "hasUninstall": p.can(fleet.Uninstall),
		"installationStatus": p.have.InstallationStatus, "actionRequest": string(p.have.ActionRequest), "actionResult": p.have.ActionResult,
		"installedProdVer": p.have.ProductVersion, "installedPackVer": p.have.PackageVersion, "installedVerStr": "", "updatePossible": false, "possibleAction": "",
	}
	if p.have.ProductVersion != "" {
		offer["installedVerStr"] = p.have.ProductVersion + "-" + p.have.PackageVersion
		offer["updatePossible"] = offer["installedVerStr"] != version
	}
	switch {
	case p.installed() && p.can(fleet.Uninstall):
		offer["possibleAction"] = string(fleet.Uninstall)
	case !p.installed() && p.can(fleet.Setup):
		offer["possibleAction"] = string(fleet.Setup)
	}
	deps, err := store.All[fleet.ProductDependency](tx, fleet.ProductDependencies, fleet.Filter{
		"productId": string(p.product.ID), "productVersion": p.product.ProductVersion, "packageVersion": p.product.PackageVersion})
	needs := []any{}
	for _, d := range deps {
		need := map[string]any{"requiredProductId": string(d.RequiredProductID), "required": "", "preRequired": "", "postRequired": ""}
		when := map[string]string{"before": "preRequired", "after": "postRequired", "": "required"}[d.RequirementType]
		if need[when] = string(d.RequiredAction); d.RequiredAction == "" {
			need[when] = d.RequiredInstallationStatus
		}
		needs = append(needs, need)
	}
	offer["requirements"] = needs
	return offer, err
}
