// Package licence gives clients their seats in licence pools, keeps seats for
// products that a client is about to install without a server, and says which
// modules may be used. Its methods are rows of the method table.
package licence

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{
		Methods: slices.Concat(licenseMethods(), leaseMethods(), usageMethods(), licensingMethods()),
		Guard:   mayTakeSeat,
		Classes: []*fleet.Class{seatReservations},
	}
}

// opsi's names of errors about licences.
const (
	wrongPools = "LicenseConfigurationError"
	noneFree   = "LicenseMissingError"
)

// licenseMethods give clients their seats. One transaction looks for a free
// seat and takes it, and the store runs one writing transaction after the
// other, also those of several servers on one database: the last seat that two
// clients ask for at once goes to one of them.
func licenseMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "licenseOnClient_getOrCreateObject", Roles: []methods.Role{methods.Operator, methods.Depot, methods.Host}, Do: licenseOfClient, Writes: true, Class: fleet.LicensesOnClients,
			Doc: "The client's seat in a pool, which is named, or found by a product or by software: the one it has, or a free one. A licence bound to the client comes first.",
			Params: []methods.Param{{Name: "clientId"}, {Name: "licensePoolId", Optional: true}, {Name: "productId", Optional: true},
				{Name: "windowsSoftwareId", Optional: true}},
		},
	}
}

func licenseOfClient(c *methods.Call) (any, error) {
	client, err := clientOf(c)
	if err != nil {
		return nil, err
	}
	var out fleet.Row
	err = c.Update(func(tx *store.Tx) error {
		seat, _, err := seatFor(c, tx, client)
		if err != nil {
			return err
		}
		// Who asks for the seat uses it, and gives it back.
		if err := tx.Remove(seatReservations, seat); err != nil {
			return err
		}
		out, err = shown(c, tx, seat)
		return err
	})
	return out, err
}

// clientOf is the one client that a call is about, which the caller may change.
func clientOf(c *methods.Call) (string, error) {
	ids, err := c.HostIDs("clientId")
	if err == nil && len(ids) > 1 {
		err = fleet.Errorf(fleet.Invalid, "cannot call %s: parameter clientId names %d hosts", c.Method.Name, len(ids))
	}
	if err != nil {
		return "", err
	}
	return ids[0], c.MayWrite(c.Method.Class, fleet.Row{"clientId": ids[0]})
}

// seatFor is the client's seat in the pool that a call means.
func seatFor(c *methods.Call, tx *store.Tx, client string) (seat fleet.Row, taken bool, err error) {
	if _, err := tx.Get(fleet.Hosts, fleet.Row{"id": client, "type": fleet.OpsiClient}); err != nil {
		return nil, false, fleet.WithHint(err, "see: fernwerk host list")
	}
	pool, err := poolOf(c, tx)
	if err != nil {
		return nil, false, err
	}
	return seatIn(tx, client, pool)
}

// shown is a seat as the caller may see it.
func shown(c *methods.Call, tx *store.Tx, seat fleet.Row) (fleet.Row, error) {
	rows, err := c.Visible(tx, c.Method.Class, []fleet.Row{seat})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return methods.Project(c.Method.Class, rows[0], nil), nil
}

// poolOf is the pool that a call means.
func poolOf(c *methods.Call, tx *store.Tx) (string, error) {
	var given [3]string
	for i, name := range []string{"licensePoolId", "productId", "windowsSoftwareId"} {
		var err error
		if given[i], err = c.Text(name); err != nil {
			return "", err
		}
	}
	switch {
	case given[0] != "":
		pool, err := tx.Get(fleet.LicensePools, fleet.Row{"id": given[0]})
		return pool.Str("id"), fleet.WithClass(err, wrongPools)
	case given[1] != "":
		return poolOfProduct(tx, strings.ToLower(given[1]))
	case given[2] != "":
		return poolOfSoftware(tx, given[2])
	}
	return "", fleet.Errorf(fleet.Invalid, "cannot call %s: it wants one of licensePoolId, productId, windowsSoftwareId", c.Method.Name)
}

func poolOfProduct(tx *store.Tx, product string) (string, error) {
	if err := fleet.ValidProductID(product); err != nil {
		return "", fleet.Errorf(fleet.Invalid, "cannot find a licence pool: %w", err)
	}
	pools, err := tx.Select(fleet.LicensePools, fleet.Filter{"productIds": product})
	if err != nil {
		return "", err
	}
	var ids []string
	for _, p := range pools {
		ids = append(ids, p.Str("id"))
	}
	return onlyPool(ids, "product "+product)
}

// poolOfSoftware finds the pool that counts the software which an inventory
// found under this id.
func poolOfSoftware(tx *store.Tx, id string) (string, error) {
	found, err := tx.Select(fleet.AuditSoftwares, fleet.Filter{"windowsSoftwareId": id})
	if err != nil {
		return "", err
	}
	var ids []string
	for _, s := range found {
		if s.Str("windowsSoftwareId") != id { // "*" stands for itself here
			continue
		}
		counted, err := tx.Select(fleet.AuditSoftwareInPools, fleet.Filter{"version": s["version"], "architecture": s["architecture"]})
		if err != nil {
			return "", err
		}
		for _, p := range counted {
			if same(p, s, "name", "version", "subVersion", "language", "architecture") {
				ids = append(ids, p.Str("licensePoolId"))
			}
		}
	}
	return onlyPool(ids, "software "+id)
}

func same(a, b fleet.Row, columns ...string) bool {
	return !slices.ContainsFunc(columns, func(name string) bool { return a.Str(name) != b.Str(name) })
}

// onlyPool refuses to choose: of several pools the administrator means one.
func onlyPool(ids []string, of string) (string, error) {
	slices.Sort(ids)
	switch ids = slices.Compact(ids); len(ids) {
	case 0:
		return "", fleet.WithHint(fleet.WithClass(fleet.Errorf(fleet.NotFound, "cannot find a licence pool for %s", of), wrongPools),
			"put it into one with licensePool_updateObject")
	case 1:
		return ids[0], nil
	}
	return "", fleet.WithHint(fleet.WithClass(fleet.Errorf(fleet.Conflict, "cannot choose a licence pool for %s: it is in %s", of, strings.Join(ids, ", ")), wrongPools),
		"leave it in one of them")
}

// seatIn is the client's seat in a pool. Without one it takes a seat that is
// free, or that was reserved for somebody who stayed away.
func seatIn(tx *store.Tx, client, pool string) (seat fleet.Row, taken bool, err error) {
	have, err := tx.Select(fleet.LicensesOnClients, fleet.Filter{"clientId": client, "licensePoolId": pool})
	if err != nil {
		return nil, false, err
	}
	if len(have) > 0 {
		return have[0], false, nil
	}
	inPool, err := tx.Select(fleet.LicensesInPools, fleet.Filter{"licensePoolId": pool})
	if err != nil {
		return nil, false, err
	}
	license, err := freeLicense(tx, client, inPool)
	if err != nil {
		return nil, false, err
	}
	if license == "" {
		if license, err = lapsedLicense(tx, client, inPool); err != nil {
			return nil, false, err
		}
	}
	if license == "" {
		return nil, false, fleet.WithHint(
			fleet.WithClass(fleet.Errorf(fleet.NotFound, "cannot give %s a licence of pool %s: none of %d is free", client, pool, len(inPool)), noneFree),
			"add a licence to the pool, or take a seat back with licenseOnClient_delete")
	}
	seat = fleet.Row{"softwareLicenseId": license, "licensePoolId": pool, "clientId": client, "licenseKey": keyIn(inPool, license)}
	if err := tx.Put(fleet.LicensesOnClients, seat); err != nil {
		return nil, false, err
	}
	seat, err = tx.Get(fleet.LicensesOnClients, seat)
	return seat, true, err
}

// keyIn is the licence's own key, or else the first of the pool.
func keyIn(inPool []fleet.Row, license string) string {
	key := ""
	for _, l := range inPool {
		if l.Str("softwareLicenseId") == license && l.Str("licenseKey") != "" {
			return l.Str("licenseKey")
		}
		key = cmp.Or(key, l.Str("licenseKey"))
	}
	return key
}

// freeLicense is the licence by which the client may install: one bound to it,
// or else the first that nobody is bound to and that has a seat left; "" if
// there is none.
func freeLicense(tx *store.Tx, client string, inPool []fleet.Row) (string, error) {
	usable, err := usableLicenses(tx, client, inPool)
	if err != nil {
		return "", err
	}
	for _, l := range usable {
		if string(l.BoundToHost) == client || l.MaxInstallations == 0 {
			return l.ID, nil
		}
		used, err := tx.Select(fleet.LicensesOnClients, fleet.Filter{"softwareLicenseId": l.ID})
		if err != nil {
			return "", err
		}
		if int64(len(used)) < l.MaxInstallations {
			return l.ID, nil
		}
	}
	return "", nil
}

// usableLicenses are those that are not bound to another host and have not run
// out, the client's own first.
func usableLicenses(tx *store.Tx, client string, inPool []fleet.Row) ([]fleet.SoftwareLicense, error) {
	if len(inPool) == 0 {
		return nil, nil
	}
	var ids []string
	for _, l := range inPool {
		ids = append(ids, l.Str("softwareLicenseId"))
	}
	licenses, err := store.All[fleet.SoftwareLicense](tx, fleet.SoftwareLicenses, fleet.Filter{"id": ids})
	if err != nil {
		return nil, err
	}
	now := tx.Stamp()
	licenses = slices.DeleteFunc(licenses, func(l fleet.SoftwareLicense) bool {
		return l.BoundToHost != "" && string(l.BoundToHost) != client || l.ExpirationDate != "" && l.ExpirationDate < now
	})
	slices.SortStableFunc(licenses, func(a, b fleet.SoftwareLicense) int {
		return -cmp.Compare(a.BoundToHost, b.BoundToHost) // what is bound is bound to the client
	})
	return licenses, nil
}

// mayTakeSeat keeps a host from writing itself a seat that is not free: what it
// writes about itself must not cost others their licences.
func mayTakeSeat(c *methods.Call, tx *store.Tx, class *fleet.Class, r fleet.Row) error {
	if c.Actor.Role != methods.Host || class != fleet.LicensesOnClients {
		return nil
	}
	seat, err := class.Check(r, fleet.Updating)
	if err != nil {
		return err
	}
	have, err := tx.ByKey(class, class.Key(seat))
	if err != nil || have != nil {
		return err
	}
	inPool, err := tx.Select(fleet.LicensesInPools, fleet.Filter{"licensePoolId": seat["licensePoolId"], "softwareLicenseId": seat["softwareLicenseId"]})
	if err != nil {
		return err
	}
	license, err := freeLicense(tx, seat.Str("clientId"), inPool)
	if err == nil && (license == "" || license != seat["softwareLicenseId"]) {
		err = fleet.Errorf(fleet.Denied, "cannot take licence %s of pool %s: it is not free for %s", seat["softwareLicenseId"], seat["licensePoolId"], seat["clientId"])
	}
	return err
}

// Gate is what a push may see and write.
func Gate(c *methods.Call, tx *store.Tx) replica.Gate { return gate{c, tx} }

// gate is a push's gate: what a host may not write by a method it may not
// push either.
type gate struct {
	*methods.Call
	tx *store.Tx
}

func (g gate) MayWrite(class *fleet.Class, r fleet.Row) error {
	if err := g.Call.MayWrite(class, r); err != nil {
		return err
	}
	return mayTakeSeat(g.Call, g.tx, class, r)
}
