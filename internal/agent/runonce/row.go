package runonce

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// Attempt is one time that an update was begun.
type Attempt struct {
	Number      string `col:"number,ident"`
	N           int64  `col:"n,ident"` // from 1; 0 notes that the content changed
	Key         string `col:"attempt"`
	ID          string `col:"id"`
	Digest      string `col:"digest"`
	State       string `col:"state"`
	OnFailure   string `col:"onFailure"`
	OnInterrupt string `col:"onInterrupt"`
	Decision    string `col:"decision"` // retry: begun again at the next occasion
	Boot        string `col:"boot"`
	Reboots     int64  `col:"reboots"` // before this attempt, in a row
	Falls       int64  `col:"falls"`   // interruptions before it, in a row
	Exit        int64  `col:"exit"`
	Reason      string `col:"reason"`
	Started     string `col:"started,time"`
	Ended       string `col:"ended,time"`
	Revision    int64  `col:"revision"` // of what is told of it
	Reported    int64  `col:"reported"` // the revision that the server has
}

// Output is what an attempt printed, apart from it because it may be large.
type Output struct {
	Key  string `col:"attempt,ident"`
	Text string `col:"text"`
}

// Offered is what the server offered last.
type Offered struct {
	Name    string   `col:"name,ident"`
	Tag     string   `col:"tag"`
	Numbers []string `col:"numbers"`
}

var (
	attempts = fleet.LocalClass[Attempt]("updateAttempt")
	outputs  = fleet.LocalClass[Output]("updateOutput")
	offers   = fleet.LocalClass[Offered]("updateOffer")
)

// Classes are the classes of the package, for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{attempts, outputs, offers} }

const (
	// maxFalls is how often in a row an interrupted update is begun again by its
	// policy: one that takes the machine down each time must not do so for ever.
	maxFalls = 3
	// maxReboots is how many boots one update may ask for.
	maxReboots = 20
)

func (a Attempt) state() update.State { return update.State(a.State) }

// policy is what follows from the attempt's state without a person.
func (a Attempt) policy() string {
	switch a.state() {
	case update.Failed:
		return a.OnFailure
	case update.Interrupted:
		if a.Decision == "" {
			return update.Ask
		}
		return a.Decision
	}
	return ""
}

// open tells whether the attempt waits for a person.
func (a Attempt) open() bool {
	return a.Decision == "" && (a.state() == update.Interrupted || a.state() == update.Failed)
}

func put(tx *store.Tx, a Attempt) error {
	a.Revision++
	return tx.Put(attempts, attempts.Encode(a))
}

// all are the attempts by number and order.
func all(tx *store.Tx) ([]Attempt, error) {
	list, err := store.All[Attempt](tx, attempts, nil)
	slices.SortFunc(list, func(a, b Attempt) int { return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.N, b.N)) })
	return list, err
}

// last are the newest attempts by number, and what the notes of changed contents
// say.
func last(tx *store.Tx) (newest, changed map[string]Attempt, err error) {
	list, err := all(tx)
	newest, changed = map[string]Attempt{}, map[string]Attempt{}
	for _, a := range list {
		if a.N == 0 {
			changed[a.Number] = a
		} else {
			newest[a.Number] = a
		}
	}
	return newest, changed, err
}

func newKey() string { return strings.ToLower(rand.Text()) }

// settle finds attempts that a former process did not see the end of, and applies
// their policy.
func (r *Runner) settle(ctx context.Context) error {
	err := r.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		list, err := all(tx)
		if err != nil {
			return err
		}
		for _, a := range list {
			if a.state() != update.Running {
				continue
			}
			if err := put(tx, interrupted(a, tx.Stamp(), "the agent or the machine stopped while it was under way")); err != nil {
				return err
			}
			r.cfg.Log.Warn("Update was interrupted: whether it did its work is uncertain", "number", a.Number, "id", a.ID, "attempt", a.N, "policy", a.OnInterrupt)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot find how updates ended: %w", err)
	}
	return nil
}

// interrupted applies the policy of an attempt that was cut off.
func interrupted(a Attempt, now, reason string) Attempt {
	a.State, a.Exit, a.Ended, a.Reason = string(update.Interrupted), -1, now, reason
	switch a.OnInterrupt {
	case update.Skip:
		a.State = string(update.Skipped)
		a.Reason += "; left so by its policy"
	case update.Retry:
		if a.Falls+1 < maxFalls {
			a.Decision = update.Retry
			break
		}
		a.Reason += fmt.Sprintf("; %d times in a row, so it is not begun again by itself", maxFalls)
	}
	return a
}

func (r *Runner) kept(ctx context.Context) (o Offered, err error) {
	err = r.cfg.Store.View(ctx, func(tx *store.Tx) error {
		row, err := tx.ByKey(offers, "server")
		if err == nil && row != nil {
			offers.Decode(row, &o)
		}
		return err
	})
	return o, err
}

// keep stores an offer, and applies what people decided.
func (r *Runner) keep(ctx context.Context, o update.Offer, tag string) error {
	for _, n := range o.Offered {
		if _, err := update.Number(n); err != nil {
			return fmt.Errorf("cannot take what the server offers: %w", err)
		}
	}
	numbers := slices.Clone(o.Offered)
	slices.Sort(numbers)
	return r.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		if len(o.Decisions) > 0 {
			newest, _, err := last(tx)
			if err != nil {
				return err
			}
			for _, a := range newest {
				if word := o.Decisions[a.Key]; word != "" && a.open() {
					if err := decide(tx, a, word, "by an administrator, on the server"); err != nil {
						return err
					}
				}
			}
		}
		return tx.Put(offers, offers.Encode(Offered{Name: "server", Tag: tag, Numbers: slices.Compact(numbers)}))
	})
}

func decide(tx *store.Tx, a Attempt, word, who string) error {
	if err := update.ValidDecision(word); err != nil {
		return err
	}
	a.Decision = word
	if word == update.Skip {
		a.State = string(update.Skipped)
	}
	a.Reason = strings.TrimPrefix(a.Reason+"; ", "; ") + word + " " + who
	return put(tx, a)
}
