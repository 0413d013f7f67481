package trust

import (
	"context"
	"crypto/ed25519"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// Renew is a turn of [Trust.Serve].
func (t *Trust) Renew(ctx context.Context) error {
	if err := t.renew(ctx); err != nil {
		return err
	}
	return t.refresh(ctx)
}

// Refresh is what Serve does when it is woken.
func (t *Trust) Refresh(ctx context.Context) error { return t.refresh(ctx) }

// OnlineKeys are the server's private keys, which a thief would have.
func (t *Trust) OnlineKeys(ctx context.Context) map[string]ed25519.PrivateKey {
	out := map[string]ed25519.PrivateKey{}
	err := t.Store.View(ctx, func(tx *store.Tx) error {
		r, err := t.keys(tx)
		for role, seeds := range r {
			out[role] = ed25519.NewKeyFromSeed(seeds[len(seeds)-1])
		}
		return err
	})
	if err != nil {
		panic(err)
	}
	return out
}
