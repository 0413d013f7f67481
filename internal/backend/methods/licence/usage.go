package licence

import (
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func usageMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "licensePool_getUsage", Roles: []methods.Role{methods.Operator, methods.Reader, methods.Depot}, Do: usage, Class: fleet.LicensePools,
			Doc:    "What becomes of licences, pool by pool: seats, of which used, reserved and free (null: any number), the clients on which an inventory found the pool's software and those among them without a seat, and each licence with its own numbers.",
			Params: []methods.Param{{Name: "licensePoolIds", Optional: true}},
		},
	}
}

// ledger is what is known of all licences.
type ledger struct {
	now      string
	licenses map[string]fleet.SoftwareLicense
	inPools  map[string][]fleet.Row // by pool
	seats    map[string][]fleet.Row // by pool
	of       map[string][]fleet.Row // by licence, of all pools
	leases   map[string]fleet.Row   // by seat; only of those that are not in use
	found    map[string][]string    // pool -> clients on which its software was found
	knows    func(host string) bool // the caller; others count, and are not named
}

func usage(c *methods.Call) (any, error) {
	ids, err := c.Texts("licensePoolIds")
	if err != nil {
		return nil, err
	}
	out := []any{}
	err = c.View(func(tx *store.Tx) error {
		pools, err := store.All[fleet.LicensePool](tx, fleet.LicensePools, fleet.Filter{"id": ids})
		if err != nil {
			return err
		}
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		if l.knows, _, err = c.InScope(tx); err != nil {
			return err
		}
		for _, p := range pools {
			out = append(out, l.pool(p))
		}
		return nil
	})
	return out, err
}

func readLedger(tx *store.Tx) (*ledger, error) {
	l := &ledger{now: tx.Stamp(), licenses: map[string]fleet.SoftwareLicense{}, leases: map[string]fleet.Row{}}
	licenses, err := store.All[fleet.SoftwareLicense](tx, fleet.SoftwareLicenses, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range licenses {
		l.licenses[s.ID] = s
	}
	inPools, err := tx.Select(fleet.LicensesInPools, nil)
	if err != nil {
		return nil, err
	}
	seats, err := tx.Select(fleet.LicensesOnClients, nil)
	if err != nil {
		return nil, err
	}
	l.inPools, l.seats, l.of = by("licensePoolId", inPools), by("licensePoolId", seats), by("softwareLicenseId", seats)
	leases, err := tx.Select(seatReservations, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range leases {
		if r.Str("until") != "" {
			l.leases[seatReservations.Key(r)] = r
		}
	}
	l.found, err = foundOf(tx)
	return l, err
}

func by(column string, rows []fleet.Row) map[string][]fleet.Row {
	out := map[string][]fleet.Row{}
	for _, r := range rows {
		out[r.Str(column)] = append(out[r.Str(column)], r)
	}
	return out
}

// foundOf are the clients on which an inventory found software that a pool
// counts.
func foundOf(tx *store.Tx) (map[string][]string, error) {
	counted, err := tx.Select(fleet.AuditSoftwareInPools, nil)
	if err != nil || len(counted) == 0 {
		return nil, err
	}
	pools := map[string][]string{}
	for _, r := range counted {
		key := fleet.AuditSoftwares.Key(r)
		pools[key] = append(pools[key], r.Str("licensePoolId"))
	}
	there, err := tx.Select(fleet.AuditSoftwareOnClients, fleet.Filter{"state": 1})
	if err != nil {
		return nil, err
	}
	clients := map[string]map[string]bool{}
	for _, r := range there {
		for _, pool := range pools[fleet.AuditSoftwares.Key(r)] {
			if clients[pool] == nil {
				clients[pool] = map[string]bool{}
			}
			clients[pool][r.Str("clientId")] = true
		}
	}
	out := map[string][]string{}
	for pool, in := range clients {
		out[pool] = slices.Sorted(maps.Keys(in))
	}
	return out, nil
}

// numbers of seats; most is 0 where there is no limit.
type numbers struct {
	most, used, reserved int64
	unlimited            bool
}

func (n numbers) put(out map[string]any, seats string) {
	out["used"], out["reserved"] = n.used, n.reserved
	out[seats], out["free"] = n.most, max(0, n.most-n.used-n.reserved)
	if n.unlimited {
		out[seats], out["free"] = nil, nil
	}
}

func (l *ledger) pool(p fleet.LicensePool) map[string]any {
	out := map[string]any{"licensePoolId": p.ID, "description": p.Description}
	products := []any{}
	for _, id := range p.ProductIDs {
		products = append(products, string(id))
	}
	out["productIds"] = products
	var all numbers
	licenses := []any{}
	for _, in := range l.inPools[p.ID] {
		id := in.Str("softwareLicenseId")
		license := l.licenses[id]
		expired := license.ExpirationDate != "" && license.ExpirationDate < l.now
		one := numbers{most: license.MaxInstallations, unlimited: license.MaxInstallations == 0}
		one.count(l, l.of[id])
		if !expired {
			all.most += one.most
			all.unlimited = all.unlimited || one.unlimited
		}
		bound := string(license.BoundToHost)
		if !l.knows(bound) {
			bound = ""
		}
		row := map[string]any{"softwareLicenseId": id, "type": license.Type, "licenseContractId": license.LicenseContractID, "expired": expired,
			"boundToHost": null(bound), "expirationDate": null(license.ExpirationDate)}
		one.put(row, "maxInstallations")
		licenses = append(licenses, row)
	}
	all.count(l, l.seats[p.ID])
	all.put(out, "seats")
	out["licenses"] = licenses
	has := map[string]bool{}
	for _, s := range l.seats[p.ID] {
		has[s.Str("clientId")] = true
	}
	without := []any{}
	for _, id := range l.found[p.ID] {
		if !has[id] && l.knows(id) {
			without = append(without, id)
		}
	}
	out["found"], out["withoutSeat"] = int64(len(l.found[p.ID])), without
	return out
}

// count adds up seats; a lease that lapsed still holds its own until another
// client needs it.
func (n *numbers) count(l *ledger, seats []fleet.Row) {
	for _, s := range seats {
		if l.leases[seatReservations.Key(s)] != nil {
			n.reserved++
		} else {
			n.used++
		}
	}
}

func null(text string) any {
	if text == "" {
		return nil
	}
	return text
}
