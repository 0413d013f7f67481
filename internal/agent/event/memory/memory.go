// Package memory remembers over restarts of the agent when its events occurred.
package memory

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Run remembers when an event occurred last: a timer goes on where it was, and
// a start of the daemon counts once a boot.
type Run struct {
	Event string `col:"event,ident"`
	Last  string `col:"last,time"`
	Boot  string `col:"boot"`
}

// Class is the class of Run, for [store.Open].
var Class = fleet.LocalClass[Run]("eventRun")

var origin = store.Origin{Actor: "agent"}

// Timers keeps when the timers occurred last.
type Timers struct{ Store *store.Store }

// LastRun implements event.Runs.
func (r Timers) LastRun(ctx context.Context, name string) (at time.Time, err error) {
	err = r.Store.View(ctx, func(tx *store.Tx) error {
		row, err := tx.ByKey(Class, Class.Key(fleet.Row{"event": name}))
		if err != nil || row.Str("last") == "" {
			return err
		}
		at, err = time.Parse(time.DateTime, row.Str("last"))
		return err
	})
	return at, err
}

// SetLastRun implements event.Runs.
func (r Timers) SetLastRun(ctx context.Context, name string, at time.Time) error {
	return r.Store.Update(ctx, origin, func(tx *store.Tx) error {
		return tx.Put(Class, fleet.Row{"event": name, "last": at.UTC().Format(time.DateTime)})
	})
}
