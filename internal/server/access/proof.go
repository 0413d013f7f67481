package access

import (
	"context"
	"crypto/sha256"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Proof is the digest of an actor's stored credential as it is now. What lives
// longer than a request, such as a connection, keeps the one that it began with
// and compares. Who is gone, or has another role by now, is NotFound.
func (a *Access) Proof(ctx context.Context, actor methods.Actor) (proof [sha256.Size]byte, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		now, err := a.stored(tx, actor)
		if err == nil && now.actor.Role != actor.Role {
			err = fleet.Errorf(fleet.NotFound, "%s is no %s any more", actor.ID, actor.Role)
		}
		proof = now.proof
		return err
	})
	return proof, err
}
