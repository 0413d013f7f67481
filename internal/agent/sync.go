package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/depotclient"
	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/instlog"
	"github.com/fernwerk/fernwerk/internal/agent/productcache"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/fleet/sequence"
)

// exchange is how long a push, a pull or a log may be under way, on the slowest
// line: a server that answers no more must not hold everything else up for ever.
const exchange = 15 * time.Minute

// push brings local changes to the server. After actions it is tried, too,
// and no failure if there is no server in reach: the changes wait.
func (a *Agent) push(ctx context.Context, t engine.Task) (engine.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	if err := a.known(ctx); err != nil {
		return engine.Outcome{}, err
	}
	sent, notes, err := a.config.Push(ctx)
	switch {
	case err != nil && t.Always && fleet.CodeOf(err) == fleet.Unavailable:
		return a.noted(t, timeline.ConfigSync, "no server in reach: the results wait for the next contact"), nil
	case err != nil:
		return engine.Outcome{}, err
	case sent == 0:
		return engine.Outcome{Text: "nothing to send"}, nil
	}
	text := fmt.Sprintf("%d changes sent", sent)
	for _, n := range notes {
		text += "; " + n
	}
	return a.noted(t, timeline.ConfigSync, text), nil
}

// pull replicates the configuration. What was changed here goes first, also
// where the event does not ask for it: a change is judged by the configuration
// that it was made under.
//
// After actions it looks whether there are more, if there were any. A server that
// is out of reach then is no failure.
func (a *Agent) pull(ctx context.Context, t engine.Task) (engine.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	r, err := a.round(ctx, t, sequence.Plan{})
	if err != nil || t.Always && (!r.begun || len(r.ran) == 0) {
		return engine.Outcome{Text: "no action ran", Skip: true}, err
	}
	objects, full, err := a.replicate(ctx, !r.event.ProcessActions)
	if t.Always && fleet.CodeOf(err) == fleet.Unavailable {
		return engine.Outcome{Text: "no server in reach: whether there are more actions shows at the next contact"}, nil
	}
	if err != nil {
		return engine.Outcome{}, err
	}
	kind := "changed"
	if full {
		kind = "in all"
	}
	for _, changed := range []chan struct{}{a.reconfigured, a.rewished} {
		select {
		case changed <- struct{}{}: // timers may have come or gone, and the wish for a connection
		default:
		}
	}
	out := a.noted(t, timeline.ConfigSync, fmt.Sprintf("configuration fetched: %d objects %s", objects, kind))
	return a.also(out, func(tx *store.Tx) error {
		// What was ready is checked anew: products may have changed.
		return flags.Set(tx, flags.ConfigCached, false)
	}), nil
}

func (a *Agent) replicate(ctx context.Context, background bool) (objects int, full bool, err error) {
	if err = a.known(ctx); err == nil {
		_, _, err = a.config.Push(ctx)
	}
	if err == nil {
		objects, full, err = a.config.Pull(ctx, background)
	}
	return objects, full, err
}

// cache brings every product of the plan into the product cache. One that
// fails does not keep the others out.
func (a *Agent) cache(ctx context.Context, t engine.Task) (engine.Outcome, error) {
	text, protocol, _ := strings.Cut(t.Args, " ")
	rate, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return engine.Outcome{}, err
	}
	a.limit.SetRate(rate)
	a.fresh(ctx)
	p, err := a.plan(ctx, t)
	if err != nil && len(p.Steps) == 0 {
		return engine.Outcome{}, err
	}
	ring := err // products that wait for each other; process_actions fails with it
	var failures []error
	var cached []productcache.Product
	var depots *depotclient.Choice
	if len(p.Steps) > 0 {
		w, err := a.wish(ctx, protocol, wanted(p))
		if err == nil {
			depots, err = a.depots.Choose(ctx, w)
		}
		if err != nil {
			return engine.Outcome{}, err
		}
		defer depots.Close()
		a.chosen(depots)
	}
	for _, s := range p.Steps {
		if err := a.unlocked(ctx, s.ProductID); err != nil {
			failures = append(failures, err)
			continue
		}
		got, err := a.products.Sync(ctx, depots, fleet.ProductOnDepot{ProductID: s.ProductID, ProductVersion: s.ProductVersion, PackageVersion: s.PackageVersion}, wanted(p))
		if fleet.CodeOf(err) == fleet.Denied {
			a.tell(ctx, timeline.Entry{Category: timeline.Error, Product: s.ProductID, Change: t.Change, Text: err.Error() + "; " + fleet.HintOf(err)})
		}
		if err != nil {
			failures = append(failures, err)
			continue
		}
		cached = append(cached, got)
	}
	text = fmt.Sprintf("%d of %d products cached", len(cached), len(p.Steps)) + fetched(depots, cached)
	if ring != nil {
		text += "; " + ring.Error()
	}
	out := a.noted(t, timeline.ProductCaching, text)
	out = a.also(out, func(tx *store.Tx) error {
		for _, c := range cached {
			c.Synced = tx.Stamp()
			if err := tx.Put(productcache.Products, productcache.Products.Encode(c)); err != nil {
				return err
			}
		}
		return nil
	})
	out.Err = errors.Join(failures...)
	return out, nil
}

// unlocked refuses a product that is being changed on the depot, or that an
// administrator has locked there. A copy that is complete already would do; but
// what the plan wants is a version that may be gone in a moment.
func (a *Agent) unlocked(ctx context.Context, product fleet.ProductID) error {
	var locked fleet.ProductOnDepot
	err := a.store.View(ctx, func(tx *store.Tx) error {
		depot, err := params.DepotOf(tx, a.id.HostID)
		if err != nil {
			return err
		}
		rows, err := store.All[fleet.ProductOnDepot](tx, fleet.ProductsOnDepots, fleet.Filter{"productId": string(product), "depotId": depot})
		for _, r := range rows {
			if r.Locked {
				locked = r
			}
		}
		return err
	})
	if err != nil || !locked.Locked {
		return err
	}
	return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot fetch %s %s-%s: it is locked on depot %s", product, locked.ProductVersion, locked.PackageVersion, locked.DepotID),
		"it is being installed there, or somebody locked it: fernwerk depot unlock %s %s", locked.DepotID, product)
}

// wanted are the products of a plan.
func wanted(p sequence.Plan) []string {
	ids := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		ids[i] = string(s.ProductID)
	}
	return ids
}

// completed marks both caches ready, and makes "sync completed" occur if there
// is something to do: the follow-up is as durable as the marks. The action
// "always" alone does not count (seed A): it would ask for a reboot every time.
func (a *Agent) completed(ctx context.Context, t engine.Task) (engine.Outcome, error) {
	p, err := a.plan(ctx, t)
	if err != nil && len(p.Steps) == 0 {
		return engine.Outcome{}, err
	}
	ready := slices.ContainsFunc(p.Steps, func(s sequence.Step) bool { return s.Action != fleet.Always })
	text := "nothing to install"
	if ready {
		text = fmt.Sprintf("%d products are ready to be installed", len(p.Steps))
	}
	out := a.noted(t, timeline.EventProcessing, text)
	return a.also(out, func(tx *store.Tx) error {
		if err := errors.Join(flags.Set(tx, flags.ConfigCached, ready), flags.Set(tx, flags.ProductsCached, ready)); err != nil || !ready {
			return err
		}
		_, err := a.occur(tx, event.Occurrence{Type: conf.SyncCompleted, Time: tx.Now()})
		return err
	}), nil
}

// sendLog brings the installation log to the server. After actions it is no
// failure if there is no server in reach.
func (a *Agent) sendLog(ctx context.Context, t engine.Task) (engine.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	text, commit, err := a.log().Send(ctx, func(text string) error {
		_, err := a.remote.Call(ctx, methods.Actor{}, "log_write", methods.Pos("instlog", text, a.id.HostID, false))
		return err
	})
	if t.Always && fleet.CodeOf(err) == fleet.Unavailable {
		return engine.Outcome{Text: "no server in reach: the log waits for the next contact"}, nil
	}
	return engine.Outcome{Text: text, Commit: commit}, err
}

func (a *Agent) log() instlog.Log {
	return instlog.Log{Store: a.store, Path: filepath.Join(a.cfg.DataDir, "log", "instlog.log")}
}

// noted is an outcome that leaves a line in the timeline.
func (a *Agent) noted(t engine.Task, category timeline.Category, text string) engine.Outcome {
	return engine.Outcome{Text: text, Commit: func(tx *store.Tx) error {
		return timeline.Write(tx, timeline.Entry{Category: category, Text: text, Change: t.Change})
	}}
}

// also adds to what an outcome commits.
func (a *Agent) also(out engine.Outcome, more func(*store.Tx) error) engine.Outcome {
	first := out.Commit
	out.Commit = func(tx *store.Tx) error {
		if err := first(tx); err != nil {
			return err
		}
		return more(tx)
	}
	return out
}
