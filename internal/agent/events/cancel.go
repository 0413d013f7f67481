package events

import (
	"fmt"

	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/reboot"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// cancelCompleted ends "sync completed", for an event that was fired by hand: what of
// it has not been done is left out, the reboot that only it asked for is withdrawn, and
// the config cache counts as invalid, so that the next synchronisation checks anew what
// is ready. The products in the cache stay.
func (p *Events) cancelCompleted(tx *store.Tx, events []conf.EventConfig, by, change string) error {
	why := fmt.Sprintf("cancelled: %s was fired by hand", by)
	cancelled := false
	for _, e := range events {
		if e.Type != conf.SyncCompleted {
			continue
		}
		open, err := tx.Select(engine.Changes, fleet.Filter{"event": e.ID, "status": []string{string(engine.Waiting), string(engine.Doing)}})
		if err != nil {
			return err
		}
		for _, c := range open {
			if err := engine.Cancel(tx, c.Str("id"), why); err != nil {
				return err
			}
			cancelled = true
		}
	}
	withdrawn, err := reboot.Withdraw(tx, p.cfg.Boot)
	if err == nil && withdrawn {
		err = flags.Set(tx, flags.RebootRequested, false)
	}
	if err != nil {
		return err
	}
	state, err := flags.All(tx)
	if err != nil {
		return err
	}
	if !cancelled && !withdrawn && !state[flags.ConfigCached] {
		return nil // it did not last
	}
	if err := flags.Set(tx, flags.ConfigCached, false); err != nil {
		return err
	}
	text := "sync completed is " + why
	if withdrawn {
		text += "; its reboot is not wanted any more"
	}
	return timeline.Write(tx, timeline.Entry{Category: timeline.EventProcessing, Text: text, Change: change})
}
