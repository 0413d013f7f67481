package presence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// between is how long at least between two looks at what people change.
const between = time.Second

// edits wakes those who work on presence when what nodes follow from was changed
// otherwise than by a report: a host was deleted, a node type has other properties.
func (p *Presence) edits(ctx context.Context) error {
	changed, stop := p.Store.Watch(store.Revisions)
	defer stop()
	was, err := p.edition(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		var is edition
		if is, err = p.edition(ctx); err == nil && is.after(was) {
			err = p.Store.Update(ctx, origin, func(tx *store.Tx) error { tx.Wake(Topic); return nil })
		}
		was = is
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(between):
		}
	}
	return err
}

// edition is what people may change of nodes.
type edition struct {
	types []string
	nodes map[string]bool // host ids
}

// after tells whether somebody has to look. A new node's own report says so itself.
func (e edition) after(was edition) bool {
	for id := range was.nodes {
		if !e.nodes[id] {
			return true
		}
	}
	return !slices.Equal(e.types, was.types)
}

func (p *Presence) edition(ctx context.Context) (e edition, err error) {
	e.nodes = map[string]bool{}
	err = p.Store.View(ctx, func(tx *store.Tx) error {
		kinds, err := store.All[fleet.NodeType](tx, fleet.NodeTypes, nil)
		if err != nil {
			return err
		}
		for _, k := range kinds {
			e.types = append(e.types, fmt.Sprintf("%#v", k))
		}
		held, err := store.All[address](tx, addresses, nil)
		for _, a := range held {
			e.nodes[a.HostID] = true
		}
		return err
	})
	slices.Sort(e.types)
	return e, err
}
