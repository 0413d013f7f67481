package presence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

const (
	// patience is how long one call of a driver may take.
	patience = time.Minute
	// inARow is how many changes may fail one after the other until the other side
	// is taken for dead, and left alone for a while.
	inARow = 3
)

// again is how a driver that failed is tried again.
var again = retry.Policy{First: time.Second, Max: time.Minute}

// Serve does what follows from reports, until ctx ends: it writes the history,
// looks up the names of clients, notices what people change, and drives the
// drivers, each by itself.
func (p *Presence) Serve(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, d := range p.Drivers {
		all.Go(func() { p.lead(ctx, "presence "+d.Name(), func(ctx context.Context) error { return p.drive(ctx, d) }) })
	}
	all.Go(func() { p.lead(ctx, "presence names", p.lookups) })
	all.Go(func() { p.lead(ctx, "presence edits", p.edits) })
	p.lead(ctx, "presence history", p.sweeps)
	return nil
}

// lead runs fn while this server has the lease, until ctx ends.
func (p *Presence) lead(ctx context.Context, name string, fn func(context.Context) error) {
	retry.Do(ctx, again, func(ctx context.Context) error {
		err := p.Leases.Do(ctx, name, "", func(ctx context.Context, _ *lease.Held) error { return fn(ctx) })
		if err == nil && ctx.Err() == nil {
			err = errors.New("it ended")
		}
		if err != nil && ctx.Err() == nil {
			p.Log.Warn("Presence goes on later", "part", name, "error", err)
		}
		return err
	})
}

// drive keeps one driver's side right until ctx ends.
func (p *Presence) drive(ctx context.Context, d Driver) error {
	wake, stop := p.Store.Watch(Topic)
	defer stop()
	for {
		begun := time.Now()
		err := retry.Do(ctx, again, func(ctx context.Context) error {
			err := p.Reconcile(ctx, d)
			p.late.set(d.Name(), err)
			if err != nil && ctx.Err() == nil {
				p.Log.Warn("Nodes are not as they shall be", "driver", d.Name(), "error", err)
			}
			return err
		})
		if err != nil {
			return err // ctx ended
		}
		if took := time.Since(begun); took > patience {
			p.Log.Warn("Nodes were late", "driver", d.Name(), "took", took)
		}
		if !p.pause(ctx, wake, p.resync(d)) {
			return ctx.Err()
		}
	}
}

// pause waits for a report, for the end of a session's time, or for most.
func (p *Presence) pause(ctx context.Context, wake <-chan struct{}, most time.Duration) bool {
	if at, err := p.nextEnd(ctx); err == nil && !at.IsZero() {
		most = min(most, max(at.Sub(p.now(ctx)), 0)+time.Millisecond)
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}

// now is the store's clock.
func (p *Presence) now(ctx context.Context) (now time.Time) {
	p.Store.Look(ctx, func(tx *store.Tx) error { now = tx.Now(); return nil })
	return now
}

// nextEnd is when the next session ends by the clock.
func (p *Presence) nextEnd(ctx context.Context) (next time.Time, err error) {
	err = p.Store.View(ctx, func(tx *store.Tx) error {
		all, err := store.All[session](tx, sessions, nil)
		for _, s := range all {
			at := time.UnixMilli(s.Ends)
			if s.Ends > 0 && s.Since > 0 && at.After(tx.Now()) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		return err
	})
	return next, err
}

// Reconcile makes one driver's side what it shall be: it reads what is, and
// changes what differs. One node's failure does not keep the others; several in
// a row do.
func (p *Presence) Reconcile(ctx context.Context, d Driver) error {
	var is map[string]node.State
	err := bounded(ctx, func(ctx context.Context) (err error) { is, err = d.Read(ctx); return err })
	if err != nil {
		return fmt.Errorf("cannot read nodes of %s: %w", d.Name(), err)
	}
	want, gone, err := p.difference(ctx, d, is)
	if err != nil {
		return err
	}
	var errs []error
	failed := 0
	apply := func(c node.Change) bool {
		err := bounded(ctx, func(ctx context.Context) error { return d.Apply(ctx, c) })
		if err != nil {
			p.failures.Add(1)
			if len(errs) < inARow {
				errs = append(errs, fmt.Errorf("cannot change %s in %s: %w", c.Node.Name, d.Name(), err))
			}
			if fleet.CodeOf(err) != fleet.Invalid { // the other side was not even asked
				failed++
			}
			return failed < inARow && ctx.Err() == nil
		}
		failed = 0
		p.changes.Add(1)
		p.Log.Info("Node changed", "driver", d.Name(), "node", c.Node.Name, "up", c.Node.Up, "gone", c.Gone, "why", c.Why)
		return true
	}
	for _, host := range want {
		c, differs, err := p.change(ctx, d, host, is) // it may have changed while others had their turn
		if err != nil {
			return err
		}
		if differs && !apply(c) {
			return errors.Join(errs...)
		}
	}
	for _, name := range gone {
		if !apply(node.Change{Node: node.Node{Name: name}, Found: true, Was: is[name], Gone: true, Why: "no longer a node"}) {
			break
		}
	}
	return errors.Join(errs...)
}

// difference lists the hosts that are not as they shall be, and the names that
// are ours and nobody's.
func (p *Presence) difference(ctx context.Context, d Driver, is map[string]node.State) (hosts, gone []string, err error) {
	err = p.Store.View(ctx, func(tx *store.Tx) error {
		t, err := typesOf(tx)
		if err != nil {
			return err
		}
		wanted := map[string]bool{}
		for n, err := range Desired(tx) {
			if err != nil {
				return err
			}
			if !wants(d, n) {
				continue
			}
			wanted[n.Name] = true
			was, found := is[n.Name]
			if differs(d, n, was, found) != "" {
				hosts = append(hosts, n.HostID)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(is)) {
			if _, choosy := d.(Differ); !wanted[name] && t.planned(name) && (is[name].Up || choosy && d.(Differ).Differs(node.Node{Name: name}, is[name], true) != "") {
				gone = append(gone, name)
			}
		}
		return nil
	})
	return hosts, gone, err
}

// change is one host's difference now.
func (p *Presence) change(ctx context.Context, d Driver, hostID string, is map[string]node.State) (c node.Change, different bool, err error) {
	err = p.Store.View(ctx, func(tx *store.Tx) error {
		n, ok, err := One(tx, hostID)
		if err != nil || !ok || !wants(d, n) {
			return err
		}
		was, found := is[n.Name]
		why := differs(d, n, was, found)
		c, different = node.Change{Node: n, Found: found, Was: was, Why: why}, why != ""
		return nil
	})
	return c, different, err
}

// bounded calls a driver, which has to come back soon after its context ended.
// While it does not, only its own side waits.
func bounded(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(ctx)
}

// lateness is what each driver last failed with.
type lateness struct {
	mu sync.Mutex
	by map[string]error
}

func (l *lateness) set(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[string]error{}
	}
	l.by[name] = err
}

// Late are the drivers whose last turn failed here, with why.
func (p *Presence) Late() map[string]error {
	p.late.mu.Lock()
	defer p.late.mu.Unlock()
	late := maps.Clone(p.late.by)
	maps.DeleteFunc(late, func(_ string, err error) bool { return err == nil })
	return late
}
