package agent

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/agent/event/memory"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

var origin = store.Origin{Actor: "agent"}

// occur acts on an occurrence: it selects the configuration whose
// preconditions hold and makes its change. The id is "" if there is nothing to do.
func (a *Agent) occur(tx *store.Tx, o event.Occurrence) (string, error) {
	state, err := flags.All(tx)
	if err != nil {
		return "", err
	}
	settings, err := a.settings(tx)
	if err != nil {
		return "", err
	}
	e, ok, reasons := event.Select(settings.Resolve(), o, state)
	for _, r := range reasons {
		a.cfg.Log.Debug("event configuration considered", "occurrence", o, "configuration", r.ID, "reason", r.Text)
	}
	if !ok {
		return "", nil
	}
	list := steps(e)
	if len(list) == 0 {
		return "", nil
	}
	// What waits to begin does what a second one would: a timer that is due
	// again and again during a long download makes one change, not a queue.
	if same, err := tx.Select(engine.Changes, fleet.Filter{"event": e.ID, "status": string(engine.Waiting)}); err != nil {
		return "", err
	} else if len(same) > 0 {
		return same[0].Str("id"), nil
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
		id, err = a.occur(tx, event.Occurrence{Name: name, Time: tx.Now()})
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

// watch makes the events occur that come by themselves. A pull may bring other
// timers; then their source is begun again.
func (a *Agent) watch(ctx context.Context) error {
	begun := time.Now()
	if err := a.started(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		var events []conf.EventConfig
		err := a.store.View(ctx, func(tx *store.Tx) error {
			s, err := a.settings(tx)
			if err == nil {
				events = s.Resolve()
			}
			return err
		})
		if err != nil {
			return err
		}
		out := make(event.Occurrences)
		sources := []run.Service{&event.Timer{Configs: events, Started: begun, Runs: memory.Timers{Store: a.store}, Out: out}}
		if slices.ContainsFunc(events, func(e conf.EventConfig) bool { return e.Active && e.Type == conf.NetConnection }) {
			network := a.cfg.Network
			network.Out = out
			sources = append(sources, &network)
		}
		if err := a.receive(ctx, out, sources); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// receive acts on what sources bring until the configuration changed.
func (a *Agent) receive(ctx context.Context, out event.Occurrences, sources []run.Service) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, len(sources))
	var all sync.WaitGroup
	for _, source := range sources {
		all.Go(func() { ended <- source.Serve(ctx) })
	}
	defer func() { cancel(); all.Wait() }()
	for {
		select {
		case o := <-out:
			if err := a.occurs(ctx, o); err != nil {
				a.cfg.Log.Error("event failed", "event", o, "error", err)
			}
		case <-a.reconfigured:
			return nil
		case err := <-ended:
			return err
		}
	}
}

// occurs acts on what a source brought. A timer is one event's, the network every
// event's that wants to know of it.
func (a *Agent) occurs(ctx context.Context, o event.Occurrence) error {
	if o.Name != "" {
		_, err := a.Fire(ctx, o.Name)
		return err
	}
	err := a.store.Update(ctx, origin, func(tx *store.Tx) error { _, err := a.occur(tx, o); return err })
	a.engine.Wake()
	return err
}

// started lets "daemon startup" occur, once a boot.
func (a *Agent) started(ctx context.Context) error {
	err := a.store.Update(ctx, origin, func(tx *store.Tx) error {
		r, err := tx.ByKey(memory.Class, "boot")
		if err != nil || r.Str("boot") == a.bootID {
			return err
		}
		if err := tx.Put(memory.Class, fleet.Row{"event": "boot", "last": tx.Stamp(), "boot": a.bootID}); err != nil {
			return err
		}
		if err := a.booted(tx); err != nil {
			return err
		}
		_, err = a.occur(tx, event.Occurrence{Type: conf.DaemonStartup, Time: tx.Now()})
		return err
	})
	a.engine.Wake()
	return err
}
