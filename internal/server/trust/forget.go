package trust

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Forget removes all documents and contents, so that a first root can be published
// anew: the way out when the keys of the one before are lost. It gives nothing to
// whoever holds a server: hosts go on with the root that they pinned, and refuse
// what another one signed. No server of the database may run, for each knows the
// documents in memory. Returned is how many roots there were.
func Forget(tx *store.Tx) (roots int, err error) {
	rows, err := store.All[document](tx, documents, nil)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		if r.Role == trust.RoleRoot {
			roots++
		}
		if err := tx.Remove(documents, documents.Encode(r)); err != nil {
			return 0, err
		}
	}
	have, err := held(tx)
	if err != nil {
		return 0, err
	}
	if err := drop(tx, have, nil); err != nil {
		return 0, err
	}
	return roots, tx.Note("trust", trust.RoleRoot, "forgotten", nil)
}
