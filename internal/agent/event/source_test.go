package event_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// memory is what an agent keeps in its database.
type memory struct {
	mu   sync.Mutex
	runs map[string]time.Time
	err  error // of every write
}

func (m *memory) LastRun(_ context.Context, event string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs[event], nil
}

func (m *memory) SetLastRun(_ context.Context, event string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs == nil {
		m.runs = map[string]time.Time{}
	}
	m.runs[event] = at
	return m.err
}

// watch serves for a time and returns what occurred, as seconds since the
// beginning and a name. The owner is busy for the time given after each.
func watch(t *testing.T, serve func(context.Context) error, out event.Occurrences, long, busy time.Duration) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	var got []string
	for {
		select {
		case o := <-out:
			if o.Time.After(time.Now()) || o.Time.Before(began) {
				t.Errorf("%s occurred at %s", o, o.Time)
			}
			got = append(got, fmt.Sprintf("%.0f %s", time.Since(began).Seconds(), o))
			select {
			case <-time.After(busy):
			case <-ctx.Done():
			}
		case err := <-done:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Serve returned %v", err)
			}
			return got
		}
	}
}

const timers = `[event_timer]
active = true
start_interval = 60
interval = 600
[event_slow]
type = timer
interval = 1000
[event_once]
type = timer
start_interval = 5
[event_off]
type = timer
active = false
interval = 1
[event_wan]
type = timer
active = false
interval = 700
[event_wan{cache_ready}]
[event_off_template]
type = template
interval = 1
`

func TestTimer(t *testing.T) {
	tests := []struct {
		name string
		runs map[string]time.Duration // before now
		ago  time.Duration            // the agent's start
		long time.Duration
		want []string
	}{
		{name: "first start", long: 1300 * time.Second,
			want: []string{"5 once (timer)", "60 timer", "660 timer", "700 wan (timer)", "1000 slow (timer)", "1260 timer"}},
		{name: "without start_interval the interval goes on over restarts", runs: map[string]time.Duration{"slow": 990 * time.Second, "wan": 5000 * time.Second}, long: 62 * time.Second,
			want: []string{"0 wan (timer)", "5 once (timer)", "10 slow (timer)", "60 timer"}},
		{name: "start_interval counts from the start, whatever ran before", runs: map[string]time.Duration{"timer": 10 * time.Second}, long: 62 * time.Second,
			want: []string{"5 once (timer)", "60 timer"}},
		{name: "a new configuration does not make it occur again", ago: 100 * time.Second, runs: map[string]time.Duration{"timer": 40 * time.Second, "once": 95 * time.Second}, long: 610 * time.Second,
			want: []string{"560 timer", "600 wan (timer)"}},
		{name: "a run in the future was a wrong clock", runs: map[string]time.Duration{"timer": -1e6 * time.Second, "slow": -1e6 * time.Second}, long: 61 * time.Second,
			want: []string{"5 once (timer)", "60 timer"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{runs: map[string]time.Time{}}
				for name, ago := range tt.runs {
					m.runs[name] = time.Now().Add(-ago)
				}
				timer := &event.Timer{Configs: configs(t, timers), Started: time.Now().Add(-tt.ago), Runs: m, Out: make(event.Occurrences)}
				if diff := cmp.Diff(tt.want, watch(t, timer.Serve, timer.Out, tt.long, 0)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// Due every ten minutes while an event takes half an hour: once after it.
func TestTimer_DoesNotFloodABusyOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer := &event.Timer{Configs: configs(t, "[event_timer]\nactive = true\ninterval = 600\n"), Started: time.Now(), Runs: &memory{}, Out: make(event.Occurrences)}
		want := []string{"60 timer", "1860 timer", "3660 timer"}
		if diff := cmp.Diff(want, watch(t, timer.Serve, timer.Out, 5000*time.Second, 1800*time.Second)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestTimer_RemembersWhenItOccurred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		began := time.Now()
		timer := &event.Timer{Configs: configs(t, "[event_timer]\nactive = true\n"), Started: began, Runs: m, Out: make(event.Occurrences)}
		watch(t, timer.Serve, timer.Out, 100*time.Second, 0)
		want := map[string]time.Time{"timer": began.Add(time.Minute)}
		if !maps.EqualFunc(want, m.runs, time.Time.Equal) {
			t.Errorf("remembered %v, want %v", m.runs, want)
		}
	})
}

func TestTimer_SaysWhenItCannotRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		timer := &event.Timer{Configs: configs(t, timers), Started: time.Now(), Runs: &memory{err: full}, Out: make(event.Occurrences)}
		done := make(chan error, 1)
		go func() { done <- timer.Serve(t.Context()) }()
		<-timer.Out
		if err := <-done; !errors.Is(err, full) || err.Error() != "cannot remember that event once occurred: disk full" {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func TestTimer_WithoutTimersWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer := &event.Timer{Started: time.Now(), Runs: &memory{}, Out: make(event.Occurrences)}
		if got := watch(t, timer.Serve, timer.Out, time.Hour, 0); got != nil {
			t.Errorf("occurred: %v", got)
		}
	})
}

func TestFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := make(event.Occurrences)
		go func() {
			if err := out.Fire(t.Context(), event.Occurrence{Name: "on_demand"}); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		want := event.Occurrence{Name: "on_demand", Time: time.Now()}
		if diff := cmp.Diff(want, <-out); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := out.Fire(ctx, event.Occurrence{Type: conf.SyncCompleted})
		if fleet.CodeOf(err) != fleet.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody takes it: %v", err)
		}
	})
}
