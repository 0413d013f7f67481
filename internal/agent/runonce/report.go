package runonce

import (
	"context"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// report tells the server what it does not know yet. What was sent and not
// answered is sent again, under the same key.
func (r *Runner) report(ctx context.Context) error {
	var list []Attempt
	err := r.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { list, err = all(tx); return err })
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.state() == update.Running || a.Reported >= a.Revision {
			continue
		}
		told, err := r.told(ctx, a)
		if err == nil {
			err = r.cfg.Server.Report(ctx, told)
		}
		if err != nil {
			return fmt.Errorf("cannot report update %s: %w", a.Number, err)
		}
		if err := r.reported(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) told(ctx context.Context, a Attempt) (update.Report, error) {
	output, err := r.output(ctx, a.Key)
	reason := a.Reason
	if len(reason) > update.MaxReason {
		reason = clipped(reason)
	}
	return update.Report{Number: a.Number, ID: a.ID, Digest: a.Digest, Key: a.Key, Revision: a.Revision, Attempt: a.N, State: a.state(), Exit: a.Exit,
		Reason: reason, Output: output, Started: a.Started, Ended: a.Ended, Policy: a.policy()}, err
}

func (r *Runner) output(ctx context.Context, key string) (text string, err error) {
	err = r.cfg.Store.View(ctx, func(tx *store.Tx) error {
		row, err := tx.ByKey(outputs, outputs.Key(fleet.Row{"attempt": key}))
		text = row.Str("text")
		return err
	})
	return text, err
}

// reported notes that the server has a revision; a later one stays to be told.
func (r *Runner) reported(ctx context.Context, a Attempt) error {
	return r.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		return tx.Patch(attempts, fleet.Row{"number": a.Number, "n": a.N, "reported": a.Revision})
	})
}

// Decide is a person's word on an attempt that failed or was interrupted.
func (r *Runner) Decide(ctx context.Context, number, word string) error {
	if _, err := update.Number(number); err != nil {
		return err
	}
	if err := update.ValidDecision(word); err != nil {
		return err
	}
	err := r.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		newest, _, err := last(tx)
		if err != nil {
			return err
		}
		a, ran := newest[number]
		switch {
		case !ran:
			return fleet.Errorf(fleet.NotFound, "cannot decide about update %s: it never began here", number)
		case !a.open():
			return fleet.Errorf(fleet.Conflict, "cannot decide about update %s: it is %s, nothing waits for a word", number, a.State)
		}
		return decide(tx, a, word, "by this machine's administrator")
	})
	if err == nil {
		r.Wake()
	}
	return err
}

// Told is an attempt with what it printed, for the machine's administrator.
type Told struct {
	update.Report
	Known bool `json:"reported"` // the server has it
}

// Log is the attempts of one update, the oldest first.
func (r *Runner) Log(ctx context.Context, number string) ([]Told, error) {
	if _, err := update.Number(number); err != nil {
		return nil, err
	}
	var list []Attempt
	err := r.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { list, err = all(tx); return err })
	if err != nil {
		return nil, err
	}
	out := []Told{}
	for _, a := range list {
		if a.Number != number {
			continue
		}
		told, err := r.told(ctx, a)
		if err != nil {
			return nil, err
		}
		out = append(out, Told{told, a.Reported >= a.Revision})
	}
	if len(out) == 0 {
		return nil, fleet.Errorf(fleet.NotFound, "cannot find update %s: it never began here", number)
	}
	return out, nil
}

// Look asks, verifies, and says what would run, without running or keeping
// anything.
func (r *Runner) Look(ctx context.Context) ([]Step, error) {
	if err := r.refused(); err != nil {
		return nil, err
	}
	offer, _, err := r.cfg.Server.Ask(ctx, "")
	if err == nil {
		err = r.refresh(ctx)
	}
	if err != nil || offer == nil {
		return nil, err
	}
	return r.planOf(ctx, offer.Offered)
}
