package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/rounds"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

func (args actionArgs) of() rounds.Action {
	return rounds.Action{ProductID: fleet.ProductID(args.ProductID), ProductVersion: args.ProductVersion, PackageVersion: args.PackageVersion, Action: fleet.Action(args.Action)}
}

// roundState is where the processing of a change's event stands.
type roundState struct {
	event conf.EventConfig
	begun bool         // a round of actions was processed, the last one without an error
	ran   []rounds.Ran // in this change and in those that it continues
	left  []sequence.Step
	tired error // what is requested again and again
}

// round looks at what ran in a task's change, and in those before it that a reboot
// ended, and at what a plan has beside that.
func (a *Agent) round(ctx context.Context, t engine.Task, p sequence.Plan) (r roundState, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		settings, err := a.settings(tx)
		if err == nil {
			r.event, err = eventOf(tx, settings, t.Change)
		}
		if err != nil {
			return err
		}
		for change, n := t.Change, 0; change != "" && n < maxContinued; n++ {
			tasks, err := engine.TasksOf(tx, change)
			if err != nil {
				return err
			}
			var own []rounds.Ran
			before := ""
			for _, other := range tasks {
				if other.Kind == taskActions {
					before += other.Args
					if change == t.Change && other.N < t.N {
						r.begun = other.Status == engine.Done
					}
				}
				if other.Kind != taskAction || other.Status != engine.Done && other.Status != engine.Failed {
					continue
				}
				var args actionArgs
				if err := json.Unmarshal([]byte(other.Args), &args); err != nil {
					return err
				}
				own = append(own, rounds.Ran{Action: args.of(), Failed: other.Status == engine.Failed})
			}
			r.ran, change = append(own, r.ran...), before
		}
		return nil
	})
	r.left, r.tired = rounds.Left(p.Steps, r.ran)
	return r, err
}

// maxContinued bounds how many changes a processing is made of.
const maxContinued = 1000

// repeat begins a further round if there are actions left: seed A says that
// processing goes on until there is none.
func (a *Agent) repeat(ctx context.Context, t engine.Task) (engine.Outcome, error) {
	p, err := a.plan(ctx, t) // what waits in a circle was said by the round
	if err != nil && len(p.Steps) == 0 && fleet.CodeOf(err) != fleet.Invalid {
		return engine.Outcome{}, err
	}
	r, err := a.round(ctx, t, p)
	if err != nil {
		return engine.Outcome{}, err
	}
	if !r.begun || len(r.ran) == 0 {
		return engine.Outcome{Text: "no action ran", Skip: true}, nil
	}
	held, err := a.Holds(ctx)
	switch {
	case err != nil:
		return engine.Outcome{}, err
	case held:
		return a.noted(t, timeline.RunActions, "processing goes on after the reboot"), nil
	case len(r.left) == 0 && r.tired != nil:
		out := a.noted(t, timeline.Error, r.tired.Error())
		out.Err = fmt.Errorf("%w; %s", r.tired, fleet.HintOf(r.tired))
		return out, nil
	case len(r.left) == 0:
		return engine.Outcome{Text: "no action is left"}, nil
	}
	out := a.noted(t, timeline.RunActions, fmt.Sprintf("processing goes on: %d actions are left", len(r.left)))
	out.Then = again(r.event)
	return out, nil
}

// goOn makes the change that goes on where a reboot ended another one.
func (a *Agent) goOn(tx *store.Tx, before string) error {
	settings, err := a.settings(tx)
	if err != nil {
		return err
	}
	e, err := eventOf(tx, settings, before)
	if err != nil {
		return err
	}
	if e.ID == "" { // its configuration has gone meanwhile: what it began is finished nevertheless
		e = conf.EventConfig{ID: "continued", ProcessActions: true, UseCachedConfig: true, UseCachedProducts: true}
	}
	list := append([]engine.Step{{Kind: taskActions, Args: before}}, afterActions(e)...)
	id, err := engine.AddTx(tx, e.ID, list)
	if err != nil {
		return err
	}
	for _, name := range []string{flags.ConfigCached, flags.ProductsCached} { // they are being used up
		if err := flags.Set(tx, name, false); err != nil {
			return err
		}
	}
	return timeline.Write(tx, timeline.Entry{Category: timeline.EventOccurrence, Text: e.ID + " goes on after the reboot", Change: id})
}
