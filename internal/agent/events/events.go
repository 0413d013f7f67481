// Package events makes the events of the configuration occur, and turns each into a
// change of the engine. It joins their sources (timers, the network, the desktop), the
// machine's start and whoever fires one by hand; it stands above these parts, which do
// not know each other.
//
// Each occurrence is selected and made a change in one transaction. "sync completed"
// lasts until the machine starts again, or until somebody fires another event by hand:
// then it is cancelled, see [Events.Fire].
package events

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
	"github.com/fernwerk/fernwerk/internal/kit/sessions"
)

// Config is what the part needs of the agent.
type Config struct {
	Store    *store.Store
	Boot     string
	Settings func(*store.Tx) (*conf.Settings, error)
	Steps    func(conf.EventConfig) []engine.Step // that a configuration asks for
	Wake     func()                               // of the engine
	Changed  <-chan struct{}                      // the configuration may be another
	// Booted is called in the transaction that notes a start of the machine.
	Booted  func(*store.Tx) error
	Network event.Network // where changes of the network come from; empty: the machine's
	Run     string        // where sessions are looked for; "" is /run
	Log     *slog.Logger
}

// Events makes events occur.
type Events struct {
	cfg  Config
	door door
}

// New makes the part.
func New(cfg Config) *Events {
	if cfg.Run == "" {
		cfg.Run = sessions.DefaultRun
	}
	return &Events{cfg: cfg, door: door{open: make(chan struct{})}}
}

var origin = store.Origin{Actor: "agent"}

// State are the flags that preconditions ask for: the durable ones, and whether
// somebody is logged in now.
func (p *Events) State(tx *store.Tx) (map[string]bool, error) {
	state, err := flags.All(tx)
	if err != nil {
		return nil, err
	}
	in, err := sessions.LoggedIn(p.cfg.Run)
	if err != nil {
		p.cfg.Log.Debug("Whether somebody is logged in is not known", "error", err)
	}
	state[flags.UserLoggedIn] = in
	return state, nil
}

// Occur acts on an occurrence: it selects the configuration whose preconditions hold
// and makes its change. The id is "" if there is nothing to do.
func (p *Events) Occur(tx *store.Tx, o event.Occurrence) (id string, e conf.EventConfig, err error) {
	state, err := p.State(tx)
	if err != nil {
		return "", e, err
	}
	settings, err := p.cfg.Settings(tx)
	if err != nil {
		return "", e, err
	}
	e, ok, reasons := event.Select(settings.Resolve(), o, state)
	for _, r := range reasons {
		p.cfg.Log.Debug("event configuration considered", "occurrence", o, "configuration", r.ID, "reason", r.Text)
	}
	if !ok {
		return "", e, nil
	}
	list := p.cfg.Steps(e)
	if len(list) == 0 {
		return "", e, nil
	}
	// What waits to begin does what a second one would: a timer that is due
	// again and again during a long download makes one change, not a queue.
	if same, err := tx.Select(engine.Changes, fleet.Filter{"event": e.ID, "status": string(engine.Waiting)}); err != nil {
		return "", e, err
	} else if len(same) > 0 {
		return same[0].Str("id"), e, nil
	}
	if id, err = engine.AddTx(tx, e.ID, list); err != nil {
		return "", e, err
	}
	return id, e, timeline.Write(tx, timeline.Entry{Category: timeline.EventOccurrence, Text: e.ID, Change: id})
}

// Fire implements [control.Agent]: somebody makes an event occur by its name. If
// "sync completed" lasts, it is cancelled: the configuration is to be synchronised
// anew, a reboot that it asked for is not wanted any more, and the other event is
// processed.
func (p *Events) Fire(ctx context.Context, name string) (id string, err error) {
	return p.fire(ctx, name, true)
}

func (p *Events) fire(ctx context.Context, name string, byHand bool) (id string, err error) {
	err = p.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		settings, err := p.cfg.Settings(tx)
		if err != nil {
			return err
		}
		events := settings.Resolve()
		i := slices.IndexFunc(events, func(e conf.EventConfig) bool { return e.Name == name && e.Active })
		if i < 0 {
			return noEvent(name, events)
		}
		var e conf.EventConfig
		id, e, err = p.Occur(tx, event.Occurrence{Name: name, Time: tx.Now()})
		if err != nil || id == "" || !byHand || e.Type == conf.SyncCompleted {
			return err
		}
		return p.cancelCompleted(tx, events, e.ID, id)
	})
	p.cfg.Wake()
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
