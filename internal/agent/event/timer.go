package event

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// Runs remembers over restarts when a timer event occurred last.
type Runs interface {
	// LastRun is the zero time if the event never occurred.
	LastRun(ctx context.Context, event string) (time.Time, error)
	SetLastRun(ctx context.Context, event string, at time.Time) error
}

// Timer is the source of timer events. Every event of type timer that has an
// active configuration occurs start_interval after the agent's start and then
// every interval. Without start_interval the interval is counted from the last
// occurrence, also over restarts: a laptop that is on for an hour a day still
// reaches an interval of six.
//
// When the configuration changes, the owner ends the service and starts one
// with the new configurations and the same Started: what occurred since then is
// remembered and does not occur again at once.
type Timer struct {
	Configs []conf.EventConfig
	Started time.Time // when the agent started, as time.Now gave it
	Runs    Runs
	Out     Occurrences
}

// glance is how often a timer looks at the clock. A monotonic clock stands
// still while a laptop sleeps, the clock on the wall does not.
const glance = time.Minute

// Serve works until ctx ends, or until what must be remembered cannot be.
func (t *Timer) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, c := range t.events() {
		all.Go(func() {
			if err := t.run(ctx, c); err != nil {
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	all.Wait()
	return context.Cause(ctx)
}

// events picks one configuration for each timer event: the first active one by
// id, which is the main one where that is active.
func (t *Timer) events() []conf.EventConfig {
	var picked []conf.EventConfig
	for _, c := range slices.SortedFunc(slices.Values(t.Configs), func(a, b conf.EventConfig) int { return strings.Compare(a.ID, b.ID) }) {
		if c.Type == conf.Timer && c.Active &&
			!slices.ContainsFunc(picked, func(p conf.EventConfig) bool { return p.Name == c.Name }) {
			picked = append(picked, c)
		}
	}
	return picked
}

func (t *Timer) run(ctx context.Context, c conf.EventConfig) error {
	last, err := t.Runs.LastRun(ctx, c.Name)
	if err != nil {
		return fmt.Errorf("cannot find when event %s occurred last: %w", c.Name, err)
	}
	// By the clock of today: it may have been set since.
	started := time.Now().Add(-time.Since(t.Started))
	if last.After(time.Now()) {
		last = time.Time{} // the clock was wrong then
	}
	for {
		due, ever := due(c, started, last)
		if !ever || !sleepUntil(ctx, due) {
			<-ctx.Done()
			return nil
		}
		if t.Out.Fire(ctx, Occurrence{Type: conf.Timer, Name: c.Name}) != nil {
			return nil // ctx ended
		}
		last = time.Now()
		if err := t.Runs.SetLastRun(ctx, c.Name, last); err != nil && ctx.Err() == nil {
			return fmt.Errorf("cannot remember that event %s occurred: %w", c.Name, err)
		}
	}
}

// due is when an event occurs next, and whether it does.
func due(c conf.EventConfig, started, last time.Time) (time.Time, bool) {
	ranSinceStart := !last.IsZero() && !last.Before(started)
	switch {
	case !ranSinceStart && c.StartInterval > 0:
		return started.Add(c.StartInterval), true
	case c.Interval <= 0:
		return time.Time{}, false
	case last.IsZero():
		return started.Add(c.Interval), true
	}
	return last.Add(c.Interval), true
}

// sleepUntil waits for a time of the wall clock, but no longer than it is from
// now: a clock that is set back must not stop a timer for years. It returns
// false if ctx ended first.
func sleepUntil(ctx context.Context, due time.Time) bool {
	began := time.Now()
	longest := due.Round(0).Sub(began.Round(0))
	for {
		left := min(longest-time.Since(began), due.Round(0).Sub(time.Now().Round(0)))
		if left <= 0 {
			return ctx.Err() == nil
		}
		wait := time.NewTimer(min(left, glance))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return false
		}
	}
}
