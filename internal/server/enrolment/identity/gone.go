package identity

import (
	"context"
	"log/slog"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// certified says that a host has certificates that were not revoked. It outlives
// the host's row: a host that was deleted has no more entry here, but what goes by
// the list of revocations alone must learn of it.
type certified struct {
	HostID string `col:"hostId,ident,lower"`
}

var certifiedHosts = fleet.LocalClass[certified]("identityCertified")

// sweepEach is how often hosts that were deleted or renamed are looked for.
const sweepEach = 10 * time.Minute

// Sweeper revokes the certificates of hosts that are gone. Here they count no
// more at once, with the host's row.
type Sweeper struct {
	*Identities
	Log *slog.Logger
}

// Serve looks for them until ctx ends.
func (s Sweeper) Serve(ctx context.Context) error {
	ticker := time.NewTicker(sweepEach)
	defer ticker.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("Certificates of hosts that are gone are not revoked now", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sweep looks for them once. Of several servers each finds what is left.
func (s Sweeper) Sweep(ctx context.Context) error {
	var gone []string
	look := func(tx *store.Tx) error {
		gone = nil
		rows, err := store.All[certified](tx, certifiedHosts, nil)
		if err != nil {
			return err
		}
		for _, r := range rows {
			row, err := Get(tx, r.HostID)
			if err != nil {
				return err
			}
			if row.HostID == "" {
				gone = append(gone, r.HostID)
			}
		}
		return nil
	}
	if err := s.store.View(ctx, look); err != nil || len(gone) == 0 {
		return err
	}
	return s.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		if err := look(tx); err != nil {
			return err
		}
		for _, id := range gone {
			if err := s.revokeAll(tx, id, "the host is gone"); err != nil {
				return err
			}
		}
		return nil
	})
}

// revokeAll revokes what a host has been certified, if anything.
func (i *Identities) revokeAll(tx *store.Tx, hostID, reason string) error {
	r, err := tx.ByKey(certifiedHosts, hostID)
	if err != nil || r == nil {
		return err
	}
	if _, err := i.authority.Revoke(tx, hostID, reason); err != nil {
		return err
	}
	return tx.Remove(certifiedHosts, r)
}
