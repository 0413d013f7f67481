package events

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/agent/event/memory"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

// Serve makes the events occur that come by themselves. A pull may bring other
// timers; then their source is begun again.
func (p *Events) Serve(ctx context.Context) error {
	begun := time.Now()
	if err := p.started(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		events, err := p.events(ctx)
		if err != nil {
			return err
		}
		out := make(event.Occurrences)
		sources := []run.Service{&event.Timer{Configs: events, Started: begun, Runs: memory.Timers{Store: p.cfg.Store}, Out: out}}
		wants := func(t conf.EventType) bool {
			return slices.ContainsFunc(events, func(e conf.EventConfig) bool { return e.Active && e.Type == t })
		}
		if wants(conf.NetConnection) {
			network := p.cfg.Network
			network.Out = out
			sources = append(sources, &network)
		}
		if wants(conf.GUIStartup) {
			sources = append(sources, &event.Desktop{Run: p.cfg.Run, Out: out})
		}
		if err := p.receive(ctx, out, sources); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (p *Events) events(ctx context.Context) (events []conf.EventConfig, err error) {
	err = p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		s, err := p.cfg.Settings(tx)
		if err == nil {
			events = s.Resolve()
		}
		return err
	})
	return events, err
}

// receive acts on what sources bring until the configuration changed.
func (p *Events) receive(ctx context.Context, out event.Occurrences, sources []run.Service) error {
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
			if err := p.occurs(ctx, o); err != nil {
				p.cfg.Log.Error("event failed", "event", o, "error", err)
			}
		case <-p.cfg.Changed:
			return nil
		case err := <-ended:
			return err
		}
	}
}

// occurs acts on what a source brought. A timer is one event's, the network every
// event's that wants to know of it; a desktop starts once a boot.
func (p *Events) occurs(ctx context.Context, o event.Occurrence) error {
	switch {
	case o.Name != "":
		_, err := p.fire(ctx, o.Name, false)
		return err
	case o.Type == conf.GUIStartup:
		_, err := p.onceABoot(ctx, "desktop", o.Type, nil)
		return err
	}
	err := p.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error { _, _, err := p.Occur(tx, o); return err })
	p.cfg.Wake()
	return err
}

// started lets "daemon startup" occur, once a boot.
func (p *Events) started(ctx context.Context) error {
	events, err := p.events(ctx)
	if err != nil {
		return err
	}
	if !Quiet(events) {
		p.Meet() // before the start's event, which then finds what they did
	}
	booted, err := p.onceABoot(ctx, "boot", conf.DaemonStartup, p.cfg.Booted)
	if err != nil || !Quiet(events) {
		return err
	}
	if !booted {
		p.Meet()
		return nil
	}
	return p.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		return timeline.Write(tx, timeline.Entry{Category: timeline.System, Text: "the machine starts, and no event of its start asks for the server"})
	})
}

// onceABoot lets an event occur unless it did in this boot.
func (p *Events) onceABoot(ctx context.Context, name string, t conf.EventType, also func(*store.Tx) error) (first bool, err error) {
	err = p.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		r, err := tx.ByKey(memory.Class, name)
		if err != nil || r.Str("boot") == p.cfg.Boot {
			return err
		}
		first = true
		if err := tx.Put(memory.Class, fleet.Row{"event": name, "last": tx.Stamp(), "boot": p.cfg.Boot}); err != nil {
			return err
		}
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		_, _, err = p.Occur(tx, event.Occurrence{Type: t, Time: tx.Now()})
		return err
	})
	p.cfg.Wake()
	return first, err
}
