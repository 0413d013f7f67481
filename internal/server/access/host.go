package access

import (
	"crypto/subtle"
	"net/http"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// loginHost checks a host's key, then its one-time password. found is false if
// no host, or more than one, has that name.
func (a *Access) loginHost(w http.ResponseWriter, r *http.Request, f fleet.Filter, password string) (p principal, found bool, err error) {
	var row fleet.Row
	err = a.store.View(r.Context(), func(tx *store.Tx) error {
		row, err = findHost(tx, f)
		return err
	})
	if err != nil || row == nil {
		return principal{}, false, err
	}
	means := "host_key"
	if !same(row.Str("opsiHostKey"), password) {
		id := row.Str("id")
		if row, err = a.useOneTimePassword(r, row, password); err != nil {
			if fleet.CodeOf(err) == fleet.Unauthenticated {
				a.attempts.failed(fleet.Hosts.Name, id, true, address(r))
			}
			return principal{}, true, err
		}
		means = "host_onetime_password"
		w.Header().Set(newHostKey, row.Str("opsiHostKey"))
	}
	if f["id"] == nil {
		w.Header().Set(newHostID, row.Str("id"))
	}
	w.Header().Set(authMethods, means)
	return hostPrincipal(row), true, nil
}

// Noted notes where a host came from that was known by something else than its key.
func (a *Access) Noted(actor methods.Actor) { a.seen.note(actor.ID, actor.Address, a.now()) }

// Charge counts a try to guess a host's one-time password that another part checks,
// before its outcome is known; see [failures.charge]. Forgive takes it back.
func (a *Access) Charge(hostID string) error { return a.failures.charge(hostID, a.now()) }

// Forgive takes a charge back.
func (a *Access) Forgive(hostID string) { a.failures.forget(hostID) }

// findHost returns the only host that matches, or nil. An id is looked up by
// the rows' key: at each of ten thousand logins a search would read them all.
func findHost(tx *store.Tx, f fleet.Filter) (fleet.Row, error) {
	if id := f["id"]; id != nil {
		row, err := tx.Get(fleet.Hosts, fleet.Row{"id": id})
		if fleet.CodeOf(err) == fleet.NotFound {
			return nil, nil
		}
		return row, err
	}
	rows, err := tx.Select(fleet.Hosts, f)
	if err != nil || len(rows) != 1 {
		return nil, err
	}
	return rows[0], nil
}

// useOneTimePassword accepts a host's one-time password and empties it in the
// same transaction: of two who send it at once, one gets in. A wrong one is
// refused before that, so that failing costs no write.
func (a *Access) useOneTimePassword(r *http.Request, host fleet.Row, password string) (fleet.Row, error) {
	id := host.Str("id")
	if err := a.failures.charge(id, a.now()); err != nil {
		return nil, err
	}
	if !same(host.Str("oneTimePassword"), password) {
		return nil, wrong(id)
	}
	origin := store.Origin{Actor: "host " + id, Address: address(r)}
	err := a.store.Update(r.Context(), origin, func(tx *store.Tx) error {
		row, err := findHost(tx, fleet.Filter{"id": id})
		if err != nil {
			return err
		}
		if !same(row.Str("oneTimePassword"), password) { // used or changed meanwhile
			return wrong(id)
		}
		host = row
		change := fleet.Row{"type": fleet.OpsiClient, "id": id, "oneTimePassword": nil}
		if row.Str("opsiHostKey") == "" { // it was revoked, and comes back
			host = row.Clone()
			host["opsiHostKey"] = methods.NewHostKey()
			change["opsiHostKey"] = host["opsiHostKey"]
		}
		return tx.Patch(fleet.Hosts, change)
	})
	if err != nil {
		return nil, err
	}
	a.failures.forget(id)
	a.log.Info("One-time password used", "host", id, "address", address(r))
	return host, nil
}

// same compares secrets in constant time; an empty one equals nothing.
func same(stored, given string) bool {
	return stored != "" && subtle.ConstantTimeCompare([]byte(stored), []byte(given)) == 1
}

func wrong(name string) error {
	return fleet.Errorf(fleet.Unauthenticated, "cannot log in %q: wrong name or password", name)
}
