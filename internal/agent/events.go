package agent

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// Run remembers when an event occurred last: a timer goes on where it was, and
// a start of the daemon counts once a boot.
type Run struct {
	Event string `col:"event,ident"`
	Last  string `col:"last,time"`
	Boot  string `col:"boot"`
}

var runs = fleet.LocalClass[Run]("eventRun")

var origin = store.Origin{Actor: "agent"}

func selectEvent(events []conf.EventConfig, typ conf.EventType, main string, state map[string]bool) (conf.EventConfig, bool) {
	var best *conf.EventConfig
	for i, e := range events {
		if !e.Active || e.Type != typ || main != "" && e.Name != main {
			continue
		}
		if !holds(e.Preconditions, state) {
			continue
		}
		if best == nil || len(e.Preconditions) > len(best.Preconditions) {
			best = &events[i]
		}
	}
	if best == nil {
		return conf.EventConfig{}, false
	}
	return *best, true
}

func holds(preconditions, state map[string]bool) bool {
	for flag, want := range preconditions {
		if state[flag] != want {
			return false
		}
	}
	return true
}

// occur lets an event of a type happen: it selects the configuration whose
// preconditions hold and makes its change. The id is "" if there is nothing to do.
func (a *Agent) occur(tx *store.Tx, typ conf.EventType, main string) (string, error) {
	state, err := flags.All(tx)
	if err != nil {
		return "", err
	}
	settings, err := a.settings(tx)
	if err != nil {
		return "", err
	}
	e, ok := selectEvent(settings.Resolve(), typ, main, state)
	if !ok {
		return "", nil
	}
	if err := tx.Put(runs, fleet.Row{"event": e.Name, "last": tx.Stamp(), "boot": a.bootID}); err != nil {
		return "", err
	}
	list := steps(e)
	if len(list) == 0 {
		return "", nil
	}
	id, err := engine.AddTx(tx, e.ID, list)
	if err != nil {
		return "", err
	}
	return id, timeline.Write(tx, timeline.Entry{Category: timeline.EventOccurrence, Text: e.ID, Change: id})
}

// Fire implements [control.Agent]: somebody makes an event occur by its name.
func (a *Agent) Fire(ctx context.Context, name string) (id string, err error) {
	err = a.store.Update(ctx, origin, func(tx *store.Tx) error {
		settings, err := a.settings(tx)
		if err != nil {
			return err
		}
		events := settings.Resolve()
		i := slices.IndexFunc(events, func(e conf.EventConfig) bool { return e.Name == name && e.Active })
		if i < 0 {
			return noEvent(name, events)
		}
		id, err = a.occur(tx, events[i].Type, name)
		return err
	})
	a.engine.Wake()
	return id, err
}

func noEvent(name string, events []conf.EventConfig) error {
	var active []string
	for _, e := range events {
		if e.Name == name {
			return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot fire event %q: it is not active", name),
				"set the host parameter opsiclientd.event_%s.active to true", name)
		}
		if e.Active && e.Variant == "" {
			active = append(active, e.Name)
		}
	}
	return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot fire event %q: no event configuration has this name%s", name, nearest.Phrase(name, active)),
		"the active events are %s", strings.Join(active, ", "))
}

// watch makes the events occur that come by themselves.
func (a *Agent) watch(ctx context.Context) error {
	if err := a.started(ctx); err != nil {
		return err
	}
	for {
		next, name := a.nextTimer(ctx)
		var due <-chan time.Time
		if name != "" {
			t := time.NewTimer(time.Until(next))
			defer t.Stop()
			due = t.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
			if _, err := a.Fire(ctx, name); err != nil {
				a.cfg.Log.Error("timer event failed", "event", name, "error", err)
			}
		}
	}
}

// started lets "daemon startup" occur, once a boot.
func (a *Agent) started(ctx context.Context) error {
	err := a.store.Update(ctx, origin, func(tx *store.Tx) error {
		r, err := tx.ByKey(runs, "boot")
		if err != nil || r.Str("boot") == a.bootID {
			return err
		}
		if err := tx.Put(runs, fleet.Row{"event": "boot", "last": tx.Stamp(), "boot": a.bootID}); err != nil {
			return err
		}
		if err := flags.Set(tx, flags.RebootRequested, false); err != nil {
			return err
		}
		_, err = a.occur(tx, conf.DaemonStartup, "")
		return err
	})
	a.engine.Wake()
	return err
}

func (a *Agent) nextTimer(ctx context.Context) (at time.Time, name string) {
	var events []conf.EventConfig
	a.store.View(ctx, func(tx *store.Tx) error {
		s, err := a.settings(tx)
		if err == nil {
			events = s.Resolve()
		}
		return err
	})
	for _, e := range events {
		if e.Type != conf.Timer || !e.Active || len(e.Preconditions) > 0 {
			continue
		}
		next := time.Now().Add(e.StartInterval)
		a.store.View(ctx, func(tx *store.Tx) error {
			r, err := tx.ByKey(runs, e.Name)
			if last, perr := time.Parse(time.DateTime, r.Str("last")); err == nil && perr == nil {
				next = last.Add(e.Interval)
			}
			return err
		})
		if name == "" || next.Before(at) {
			at, name = next, e.Name
		}
	}
	return at, name
}
