package agent

import (
	"context"
	"errors"

	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/selection"
	"github.com/fernwerk/fernwerk/internal/backend/methods/products"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// plan is the order of what this client shall do, of the products that the
// configuration's product groups let through; and, in a task, those of its
// event. What a selected product depends on comes along, whatever its groups.
func (a *Agent) plan(ctx context.Context, t engine.Task) (p sequence.Plan, err error) {
	verr := a.store.View(ctx, func(tx *store.Tx) error {
		p, err = a.planIn(tx, t.Change)
		return nil
	})
	return p, errors.Join(verr, err)
}

// planIn is plan for a change; "" is none.
func (a *Agent) planIn(tx *store.Tx, change string) (sequence.Plan, error) {
	settings, err := a.settings(tx)
	if err != nil {
		return sequence.Plan{}, err
	}
	selections := []conf.ProductGroups{settings.CacheGroups()}
	if change != "" {
		e, err := eventOf(tx, settings, change)
		if err != nil {
			return sequence.Plan{}, err
		}
		selections = append(selections, e.Groups)
	}
	some, err := selection.Of(tx, selections)
	if err != nil {
		return sequence.Plan{}, err
	}
	return products.PlanOf(tx, a.id.HostID, some)
}

// eventOf is the configuration of a change's event; one that is gone asks for
// nothing.
func eventOf(tx *store.Tx, s *conf.Settings, change string) (conf.EventConfig, error) {
	c, err := tx.ByKey(engine.Changes, engine.Changes.Key(fleet.Row{"id": change}))
	if err != nil {
		return conf.EventConfig{}, err
	}
	for _, e := range s.Resolve() {
		if e.ID == c.Str("event") {
			return e, nil
		}
	}
	return conf.EventConfig{}, nil
}
