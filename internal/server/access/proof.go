package access

import (
	"context"
	"crypto/sha256"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Proof is the digest of an actor's stored credential as it is now. What lives
// longer than a request, such as a connection, keeps the one that it began with
// and compares. Who is gone, or has another role by now, is NotFound; who is
// bound to other groups has another one.
func (a *Access) Proof(ctx context.Context, actor methods.Actor) (proof [sha256.Size]byte, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		now, err := a.stored(tx, actor)
		if err == nil && now.actor.Role != actor.Role {
			err = fleet.Errorf(fleet.NotFound, "%s is no %s any more", actor.ID, actor.Role)
		}
		if proof = now.proof; len(now.groups) > 0 {
			proof = sha256.Sum256([]byte(string(proof[:]) + strings.Join(now.groups, "\x00")))
		}
		return err
	})
	return proof, err
}

// Bound tells whether an actor is bound to host groups, and so sees a part of the
// fleet only.
func (a *Access) Bound(ctx context.Context, actor methods.Actor) (bound bool, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		now, err := a.stored(tx, actor)
		bound = len(now.groups) > 0
		return err
	})
	return bound, err
}
