package runonce

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// The things that a plan does with an update.
const (
	Run    = "run"    // for the first time
	Again  = "again"  // after an interruption or a failure
	Resume = "resume" // after a boot
	Hold   = "hold"   // later
	Rest   = "rest"   // nothing: it was done, left, or is not for this host
)

// Step is what is to be done with one offered update.
type Step struct {
	Number string `json:"number"`
	ID     string `json:"id"`
	Title  string `json:"title"`
	Do     string `json:"do"`
	State  string `json:"state"` // of the newest attempt, "" if there was none
	Why    string `json:"why"`
	Err    error  `json:"-"` // why it cannot be had

	file *update.File
	data []byte
}

// next is the step to take now.
func next(steps []Step) *Step {
	for i, s := range steps {
		if s.Do == Run || s.Do == Again || s.Do == Resume {
			return &steps[i]
		}
	}
	return nil
}

// Plan says what is to be done now with each update that is offered, in order.
// Contents that ran and were changed are noted on the way.
func (r *Runner) Plan(ctx context.Context) ([]Step, error) {
	kept, err := r.kept(ctx)
	if err != nil {
		return nil, err
	}
	return r.planOf(ctx, kept.Numbers)
}

func (r *Runner) planOf(ctx context.Context, numbers []string) ([]Step, error) {
	var newest, changed map[string]Attempt
	err := r.cfg.Store.View(ctx, func(tx *store.Tx) (err error) {
		newest, changed, err = last(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	finished := map[string]bool{}
	for n, a := range newest {
		finished[n] = a.state() == update.Done || a.state() == update.Skipped
	}
	var steps []Step
	holder := "" // the first one that later ones wait for
	for _, n := range numbers {
		a, ran := newest[n]
		s := Step{Number: n, ID: a.ID, State: a.State}
		sum, signed := r.digest(n)
		if ran && signed && hex.EncodeToString(sum[:]) != a.Digest {
			s.Do, s.State, s.Why = Rest, string(update.Changed), "it ran with other content: a corrected update gets a new number"
			if changed[n].Digest != hex.EncodeToString(sum[:]) {
				if err := r.noteChange(ctx, a, sum); err != nil {
					return nil, err
				}
			}
			steps = append(steps, s)
			continue
		}
		s.Do, s.Why = r.stands(a, ran)
		holds := s.Do == Hold
		if (s.Do == Run || s.Do == Again || s.Do == Resume) && holder != "" {
			s.Do, s.Why = Hold, fmt.Sprintf("waits for %s", holder)
		} else if s.Do == Run || s.Do == Again || s.Do == Resume {
			r.load(ctx, n, &s)
			holds = s.Err != nil
			if s.Do == Run {
				for _, b := range s.file.After {
					if name := update.Name(b); !finished[name] {
						s.Do, s.Why = Hold, fmt.Sprintf("comes after %s, which is not done here", name)
						break
					}
				}
			}
		}
		if holds && holder == "" {
			holder = n
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func (r *Runner) digest(n string) ([32]byte, bool) {
	number, err := update.Number(n)
	if err != nil {
		return [32]byte{}, false
	}
	return r.cfg.Trust.Digest(update.Target(number))
}

// stands says what the newest attempt leaves to be done.
func (r *Runner) stands(a Attempt, ran bool) (do, why string) {
	switch {
	case !ran:
		return Run, ""
	case a.Decision == update.Retry && (a.state() == update.Interrupted || a.state() == update.Failed):
		return Again, "begun again: " + a.Reason
	case a.state() == update.Interrupted:
		return Hold, fmt.Sprintf("uncertain: %s; decide with: fernwerk-agent updates decide %s retry|skip", a.Reason, a.Number)
	case a.state() == update.Failed && a.OnFailure == update.Stop:
		return Hold, fmt.Sprintf("failed: %s; decide with: fernwerk-agent updates decide %s retry|skip", a.Reason, a.Number)
	case a.state() == update.Rebooting && a.Boot == r.cfg.Boot:
		return Hold, "goes on after the next boot"
	case a.state() == update.Rebooting:
		return Resume, "goes on after a boot"
	case a.state() == update.Running:
		return Hold, "runs now"
	}
	return Rest, a.Reason
}

// load gets the verified file of a step and checks that it is what it is called.
func (r *Runner) load(ctx context.Context, n string, s *Step) {
	number, err := update.Number(n)
	if err == nil {
		s.data, err = r.cfg.Trust.Content(ctx, update.Target(number))
	}
	if err == nil {
		s.file, err = update.Parse(s.data)
	}
	if err == nil && s.file.Number != number {
		err = fleet.Errorf(fleet.Invalid, "the file that is signed as %s says that it is %s", n, update.Name(s.file.Number))
	}
	if err != nil {
		s.Do, s.Err, s.Why, s.file = Hold, fmt.Errorf("cannot get update %s: %w", n, err), err.Error(), &update.File{}
		return
	}
	s.ID, s.Title = s.file.ID, s.file.Title
	switch {
	case !s.file.For(r.cfg.Platform):
		s.Do, s.Why = Rest, "it is not for "+r.cfg.Platform
	case len(s.file.NodeTypes) > 0 && !slices.Contains(s.file.NodeTypes, r.cfg.NodeType): // whatever the server offers
		s.Do, s.Why = Rest, fmt.Sprintf("it is not for node type %q", r.cfg.NodeType)
	case !s.file.ForHosts():
		s.Do, s.Why = Rest, "it is for the feed"
	}
}

// noteChange keeps, once for each content, that a number came with another one.
func (r *Runner) noteChange(ctx context.Context, a Attempt, sum [32]byte) error {
	digest := hex.EncodeToString(sum[:])
	r.cfg.Log.Warn("Update has other content than when it ran: it is not run again", "number", a.Number, "ran", a.Digest, "now", digest)
	return r.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		return put(tx, Attempt{Number: a.Number, Key: newKey(), ID: a.ID, Digest: digest, State: string(update.Changed), Exit: -1,
			Reason: "it ran here as " + a.Digest, Started: tx.Stamp(), Ended: tx.Stamp()})
	})
}

// List is every update that was offered or begun, in order, with its state.
func (r *Runner) List(ctx context.Context) ([]Step, error) {
	var steps []Step
	var err error
	if r.refused() == nil {
		if steps, err = r.Plan(ctx); err != nil {
			return nil, err
		}
	}
	err = r.cfg.Store.View(ctx, func(tx *store.Tx) error {
		newest, _, err := last(tx)
		for n, a := range newest {
			if !slices.ContainsFunc(steps, func(s Step) bool { return s.Number == n }) {
				steps = append(steps, Step{Number: n, ID: a.ID, Do: Rest, State: a.State, Why: "no longer offered"})
			}
		}
		return err
	})
	slices.SortFunc(steps, func(a, b Step) int { return compare(a.Number, b.Number) })
	if refused := r.refused(); err == nil && len(steps) == 0 && refused != nil {
		return nil, refused
	}
	return steps, err
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
