package licence

import (
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A client that will install from its cache, far from any server, takes its
// licences along: a pull reserves a seat for each product that needs one and
// has an action request, if the host parameter license-management.use says so
// for the client (seed A). What is reserved goes back by itself: when the
// client's results or the administrator leave neither a request nor an
// installation of any product of the pool, or, for a client that stays away,
// when the reservation has lapsed and another client needs the seat.

// reservedFor is how long a seat is kept for a client that is not heard of. A
// pull renews it when half of it is over.
const reservedFor = 30 * 24 * time.Hour

const useLicenses = "license-management.use"

// withoutLicense begins the progress of a product that goes without.
const withoutLicense = "without a licence: "

// seatReservation says of a seat that a pull took it, and may give it back.
type seatReservation struct {
	SoftwareLicenseID string `col:"softwareLicenseId,ident,owner=licenseOnClient.softwareLicenseId"`
	LicensePoolID     string `col:"licensePoolId,ident,owner=licenseOnClient.licensePoolId"`
	ClientID          string `col:"clientId,ident,valid=host,owner=licenseOnClient.clientId"`
	// Until is empty while a product of the pool is installed: the seat is in use.
	Until string `col:"until,time"`
	// Ordered says that somebody asked for the reservation by name: it does not
	// depend on a request for a product.
	Ordered bool `col:"ordered"`
}

var seatReservations = fleet.LocalClass[seatReservation]("seatReservation")

// lapsedLicense takes back the seat whose reservation lapsed first, among those
// that the client could use, and names its licence; "" if there is none.
func lapsedLicense(tx *store.Tx, client string, inPool []fleet.Row) (string, error) {
	usable, err := usableLicenses(tx, client, inPool)
	if err != nil || len(usable) == 0 {
		return "", err
	}
	var ids []string
	for _, l := range usable {
		ids = append(ids, l.ID)
	}
	reserved, err := tx.Select(seatReservations, fleet.Filter{"softwareLicenseId": ids})
	if err != nil {
		return "", err
	}
	reserved = slices.DeleteFunc(reserved, func(r fleet.Row) bool { return r.Str("until") == "" || r.Str("until") >= tx.Stamp() })
	if len(reserved) == 0 {
		return "", nil
	}
	first := slices.MinFunc(reserved, func(a, b fleet.Row) int { return strings.Compare(a.Str("until"), b.Str("until")) })
	return first.Str("softwareLicenseId"), tx.Unguarded(func() error { return tx.Remove(fleet.LicensesOnClients, first) })
}

// installing are the requests for which a product needs its licence.
var installing = []string{string(fleet.Setup), string(fleet.Update), string(fleet.Always), string(fleet.Once), string(fleet.Custom)}

// Settle gives back what was reserved for the client and turned out not
// to be needed, and keeps what it uses.
func Settle(tx *store.Tx, client string) error {
	reserved, err := tx.Select(seatReservations, fleet.Filter{"clientId": client})
	if err != nil {
		return err
	}
	for _, r := range reserved {
		pending, installed, err := needOf(tx, client, r.Str("licensePoolId"))
		if err != nil {
			return err
		}
		switch {
		case installed:
			r["until"] = ""
			err = tx.Put(seatReservations, r)
		case !pending && !(r["ordered"] == true && r.Str("until") >= tx.Stamp()):
			err = tx.Remove(fleet.LicensesOnClients, r)
		case !pending: // ordered, and not lapsed
		case r.Str("until") == "": // removed, and requested again
			err = reserveSeat(tx, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// needOf tells what a client does with the products of a pool. A product whose
// state is unknown, as after a failure halfway, may be installed.
func needOf(tx *store.Tx, client, pool string) (pending, installed bool, err error) {
	p, err := tx.Get(fleet.LicensePools, fleet.Row{"id": pool})
	if err != nil || len(p.Strings("productIds")) == 0 {
		return false, false, err
	}
	rows, err := tx.Select(fleet.ProductsOnClients, fleet.Filter{"clientId": client, "productId": p.Strings("productIds")})
	for _, r := range rows {
		pending = pending || slices.Contains(installing, r.Str("actionRequest"))
		installed = installed || r.Str("installationStatus") != fleet.NotInstalled
	}
	return pending, installed, err
}

func reserveSeat(tx *store.Tx, seat fleet.Row) error {
	return reserveUntil(tx, seat, tx.Now().Add(reservedFor), false)
}

func reserveUntil(tx *store.Tx, seat fleet.Row, until time.Time, ordered bool) error {
	r := fleet.Row{"until": until.Format(time.DateTime), "ordered": ordered}
	for _, col := range seatReservations.Ident() {
		r[col.Name] = seat[col.Name]
	}
	return tx.Put(seatReservations, r)
}

// Due tells whether a pull has something to do about licences: it
// seldom has, and then writes nothing.
func Due(tx *store.Tx, client string) (bool, error) {
	reserved, err := tx.Select(seatReservations, fleet.Filter{"clientId": client})
	if err != nil || len(reserved) > 0 {
		return len(reserved) > 0, err
	}
	products, err := licensedRequests(tx, client)
	return len(products) > 0, err
}

// licensedRequests are the products that the client is to install, that need a
// licence in their version on its depot, if licences are managed for it.
func licensedRequests(tx *store.Tx, client string) ([]string, error) {
	requests, err := tx.Select(fleet.ProductsOnClients, fleet.Filter{"clientId": client, "productType": fleet.LocalbootProduct, "actionRequest": installing})
	if err != nil || len(requests) == 0 {
		return nil, err
	}
	ids := make([]string, len(requests))
	for i, r := range requests {
		ids[i] = r.Str("productId")
	}
	licensed, err := tx.Select(fleet.Products, fleet.Filter{"id": ids, "type": fleet.LocalbootProduct, "licenseRequired": true})
	if err != nil || len(licensed) == 0 {
		return nil, err
	}
	use, err := params.Of(tx, client, useLicenses)
	if err != nil || !slices.Equal(use[useLicenses], []any{true}) {
		return nil, err
	}
	depot, err := params.DepotOf(tx, client)
	if err != nil {
		return nil, err
	}
	onDepot, err := tx.Select(fleet.ProductsOnDepots, fleet.Filter{"depotId": depot, "productId": ids})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range licensed {
		if slices.ContainsFunc(onDepot, func(d fleet.Row) bool {
			return d.Str("productId") == p.Str("id") && same(p, d, "productVersion", "packageVersion")
		}) {
			out = append(out, p.Str("id"))
		}
	}
	return out, nil
}

// Reserve settles, and takes what a pull shall bring along. A product
// that gets no licence is no reason to bring nothing: its progress says why.
func Reserve(tx *store.Tx, client string) error {
	if err := Settle(tx, client); err != nil {
		return err
	}
	products, err := licensedRequests(tx, client)
	if err != nil {
		return err
	}
	for _, id := range products {
		err := reserveFor(tx, client, id)
		switch fleet.CodeOf(err) {
		case "":
			err = tellProgress(tx, client, id, "")
		case fleet.NotFound, fleet.Conflict:
			err = tellProgress(tx, client, id, withoutLicense+err.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func reserveFor(tx *store.Tx, client, product string) error {
	pool, err := poolOfProduct(tx, product)
	if err != nil {
		return err
	}
	seat, taken, err := seatIn(tx, client, pool)
	if err != nil {
		return err
	}
	if taken {
		return reserveSeat(tx, seat)
	}
	r, err := tx.ByKey(seatReservations, seatReservations.Key(seat))
	half := tx.Now().Add(reservedFor / 2).Format(time.DateTime)
	if err == nil && r.Str("until") != "" && r.Str("until") < half {
		err = reserveSeat(tx, r)
	}
	return err
}

// tellProgress shows that a product goes without a licence, or no longer does.
func tellProgress(tx *store.Tx, client, product, text string) error {
	row := fleet.Row{"productId": product, "productType": fleet.LocalbootProduct, "clientId": client}
	have, err := tx.Get(fleet.ProductsOnClients, row)
	if err != nil || text == "" && !strings.HasPrefix(have.Str("actionProgress"), withoutLicense) {
		return err
	}
	row["actionProgress"] = text
	return tx.Patch(fleet.ProductsOnClients, row)
}
