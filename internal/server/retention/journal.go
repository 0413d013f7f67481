// Package retention forgets what an administrator wants to be kept no longer.
//
// Of the journal that is history only: the rows are as they are. A client whose
// last synchronisation is older than the journal is answered in full instead of
// with what changed, and what it has to report it reports all the same.
package retention

import (
	"context"
	"log/slog"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

const (
	every = time.Hour
	// piece is how many revisions one transaction forgets: others wait behind it.
	piece = 2000
)

// Journal forgets the journal's entries after a time.
type Journal struct {
	Store *store.Store
	Keep  time.Duration
	Log   *slog.Logger
}

// Serve forgets once an hour, until ctx ends.
func (j *Journal) Serve(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if n, err := j.forget(ctx); err != nil && ctx.Err() == nil {
			j.Log.Warn("Old journal entries stay", "error", err)
		} else if n > 0 {
			j.Log.Info("Old journal entries forgotten", "revisions", n, "keep", j.Keep)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (j *Journal) forget(ctx context.Context) (all int64, err error) {
	for ctx.Err() == nil {
		var n int64
		err := j.Store.Update(ctx, store.Origin{Actor: "retention"}, func(tx *store.Tx) (err error) {
			n, err = tx.TrimOld(tx.Now().Add(-j.Keep), piece)
			return err
		})
		if all += n; err != nil || n == 0 {
			return all, err
		}
	}
	return all, nil
}
