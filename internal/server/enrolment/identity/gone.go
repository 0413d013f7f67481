package identity

import (
	"context"
	"log/slog"
	"slices"
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

// sweepAtOnce is how many are revoked in one transaction: each signs the list anew,
// and whoever else wants to write waits meanwhile.
const sweepAtOnce = 20

// Sweep looks for them once. Of several servers each finds what is left.
func (s Sweeper) Sweep(ctx context.Context) error {
	var gone []string
	err := s.store.View(ctx, func(tx *store.Tx) error {
		gone = nil
		rows, err := store.All[certified](tx, certifiedHosts, nil)
		if err != nil {
			return err
		}
		for _, r := range rows {
			is, err := isGone(tx, r.HostID)
			if err != nil {
				return err
			}
			if is {
				gone = append(gone, r.HostID)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(gone, sweepAtOnce) {
		err := s.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
			for _, id := range some {
				is, err := isGone(tx, id) // it may have joined meanwhile
				if err == nil && is {
					err = s.revokeAll(tx, id, "the host is gone")
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func isGone(tx *store.Tx, hostID string) (bool, error) {
	row, err := Get(tx, hostID)
	return row.HostID == "", err
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
