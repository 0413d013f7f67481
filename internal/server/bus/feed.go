package bus

import (
	"context"
	"sync"

	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// readAtOnce is how many changes are read from the journal in one go.
const readAtOnce = 500

// feed is where in the journal the telling of events stands.
type feed struct {
	mu sync.Mutex
	at int64 // revision that was told last; negative while nobody listens
}

// begin lets the events begin here, unless they are told already. The feed's
// lock is held.
func (b *Bus) begin(ctx context.Context) error {
	if b.feed.at >= 0 {
		return nil
	}
	return b.cfg.Store.View(ctx, func(tx *store.Tx) error {
		p, err := tx.Position()
		if err == nil {
			b.feed.at = p.Revision
		}
		return err
	})
}

// tellEvents tells who listens what happens to the fleet. While nobody listens
// the journal is not read.
func (b *Bus) tellEvents(ctx context.Context) error {
	woken, stop := b.cfg.Store.Watch(store.Revisions)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-woken:
		}
		if err := b.tell(ctx); err != nil && ctx.Err() == nil {
			b.cfg.Log.Warn("Events are not told", "error", err)
		}
	}
}

func (b *Bus) tell(ctx context.Context) error {
	b.feed.mu.Lock()
	defer b.feed.mu.Unlock()
	b.mu.Lock()
	heard := b.listeners > 0
	b.mu.Unlock()
	if !heard && b.feed.at >= 0 {
		b.feed.at = -1
	}
	for more := b.feed.at >= 0; more; {
		var events []bus.Message
		err := b.cfg.Store.View(ctx, func(tx *store.Tx) (err error) {
			events, more, err = b.news(tx)
			return err
		})
		if err != nil {
			return err
		}
		for _, m := range events {
			b.deliver(m)
		}
	}
	return nil
}

// news are the events of the next changes. A revision is told as a whole.
func (b *Bus) news(tx *store.Tx) (events []bus.Message, more bool, err error) {
	changes, err := tx.Journal(b.feed.at, "", readAtOnce)
	if err != nil || len(changes) == 0 {
		return nil, false, err
	}
	last := changes[len(changes)-1].Revision
	if more = len(changes) == readAtOnce; more {
		whole := len(changes)
		for whole > 0 && changes[whole-1].Revision == last {
			whole--
		}
		if changes = changes[:whole]; whole == 0 { // one very large revision
			if changes, err = tx.Journal(b.feed.at, "", 0); err != nil {
				return nil, false, err
			}
			more = false
		}
		last = changes[len(changes)-1].Revision
	}
	for _, ch := range changes {
		m, err := b.event(tx, ch)
		if err != nil {
			return nil, false, err
		}
		if m.Type != "" {
			events = append(events, m)
		}
	}
	b.feed.at = last
	return events, more, nil
}

// verbs are what events call the journal's operations.
var verbs = map[string]string{"insert": "created", "update": "updated", "delete": "deleted"}

// event tells of a change: of which object, and of a product on a client what
// interests most. No other values: who wants them asks, with his own rights.
func (b *Bus) event(tx *store.Tx, ch store.Change) (bus.Message, error) {
	class := b.cfg.Store.Class(ch.Class)
	if class == nil || class.Local {
		return bus.Message{}, nil
	}
	row := ch.After
	switch ch.Op {
	case "delete":
		row = ch.Before
	case "update":
		var err error
		if row, err = tx.ByKey(class, ch.Key); err != nil || row == nil { // deleted since, which is the next event
			return bus.Message{}, err
		}
	}
	data := map[string]any{}
	for _, col := range class.Ident() {
		data[col.Name] = row[col.Name]
	}
	if len(class.Types) > 0 {
		data["type"] = class.Type(row)
	}
	if class == fleet.ProductsOnClients {
		for _, name := range []string{"productType", "installationStatus", "actionRequest", "actionProgress", "actionResult"} {
			data[name] = row[name]
		}
	}
	name := class.Name + "_" + verbs[ch.Op]
	m := bus.New(bus.Event, bus.EventPrefix+name, map[string]any{"event": name, "data": data}, b.cfg.Now())
	m.Sender = bus.ServiceBus
	return m, nil
}
