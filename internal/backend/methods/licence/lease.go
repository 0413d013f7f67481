package licence

import (
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Days of a reservation that is asked for by name. A host may not choose more
// than the usual ones: what it keeps, others lack.
const (
	usualDays = int64(reservedFor / (24 * time.Hour))
	mostDays  = 366
)

func leaseMethods() []*methods.Method {
	roles := []methods.Role{methods.Operator, methods.Depot, methods.Host}
	which := []methods.Param{{Name: "clientId"}, {Name: "licensePoolId", Optional: true}, {Name: "productId", Optional: true}, {Name: "windowsSoftwareId", Optional: true}}
	return []*methods.Method{
		{
			Name: "licenseOnClient_reserve", Roles: roles, Do: reserve, Writes: true, Class: fleet.LicensesOnClients,
			Doc:    "Reserves the client a seat in a pool for some days: after them another client may take it, if it is not in use by then. Answers with the seat and the end of the lease, null for a seat in use.",
			Params: append(which[:4:4], methods.Param{Name: "days", Optional: true, Default: usualDays}),
		},
		{
			Name: "licenseOnClient_release", Roles: roles, Do: release, Writes: true, Class: fleet.LicensesOnClients,
			Doc:    "Gives the client's seats in a pool back, reserved or in use. Answers with what was given back.",
			Params: which,
		},
	}
}

func reserve(c *methods.Call) (any, error) {
	client, err := clientOf(c)
	if err != nil {
		return nil, err
	}
	most := int64(mostDays)
	if c.Actor.Role == methods.Host {
		most = usualDays
	}
	days, err := fleet.Number(c.Args["days"])
	if err != nil || days < 1 || days > most {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter days is from 1 to %d", c.Method.Name, most)
	}
	var out fleet.Row
	err = c.Update(func(tx *store.Tx) error {
		seat, taken, err := seatFor(c, tx, client)
		if err != nil {
			return err
		}
		lease, err := tx.ByKey(seatReservations, seatReservations.Key(seat))
		if err != nil {
			return err
		}
		if out, err = shown(c, tx, seat); err != nil {
			return err
		}
		if !taken && lease.Str("until") == "" {
			out["until"] = nil // in use
			return nil
		}
		until := tx.Now().Add(time.Duration(days) * 24 * time.Hour)
		out["until"] = until.Format(time.DateTime)
		return reserveUntil(tx, seat, until, true)
	})
	return out, err
}

func release(c *methods.Call) (any, error) {
	client, err := clientOf(c)
	if err != nil {
		return nil, err
	}
	out := []fleet.Row{}
	err = c.Update(func(tx *store.Tx) error {
		pool, err := poolOf(c, tx)
		if err != nil {
			return err
		}
		seats, err := tx.Select(fleet.LicensesOnClients, fleet.Filter{"clientId": client, "licensePoolId": pool})
		if err == nil && len(seats) == 0 {
			err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot release a licence of %s: it has none of pool %s", client, pool), "see: fernwerk licence usage")
		}
		if err != nil {
			return err
		}
		for _, seat := range seats {
			r, err := shown(c, tx, seat)
			if err != nil {
				return err
			}
			out = append(out, r)
			if err := tx.Remove(fleet.LicensesOnClients, seat); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}
