package runonce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

var errCut = errors.New("the power is cut")

// tripwire cuts the power at one commit: before it, or when it is on the disk.
// From then on nothing is written any more.
type tripwire struct {
	Store
	at     int
	before bool
	trip   func()

	mu sync.Mutex
	n  int
}

// cutNow has nothing written any more.
func (w *tripwire) cutNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = 0
}

func (w *tripwire) Update(ctx context.Context, o store.Origin, fn func(*store.Tx) error) error {
	w.mu.Lock()
	w.n++
	n, at := w.n, w.at
	w.mu.Unlock()
	if n > at || n == at && w.before {
		w.trip()
		return errCut
	}
	err := w.Store.Update(ctx, o, fn)
	if n == at {
		w.trip()
	}
	return err
}

// TestKill_EveryCommit cuts the power before and after every commit of a host's
// work on three updates, for all policies, again and again, and counts the marks
// that the scripts left: one each, or as many more as attempts were reported as
// interrupted.
func TestKill_EveryCommit(t *testing.T) {
	for _, policy := range []string{update.Retry, update.Ask, update.Skip} {
		t.Run(policy, func(t *testing.T) {
			kills := 0
			for at := 1; ; at++ {
				reached := false
				for _, before := range []bool{true, false} {
					reached = killed(t, t.TempDir(), []string{policy, policy, policy}, []cut{{at, before, false}}) || reached
				}
				if !reached {
					break
				}
				kills++
			}
			if t.Logf("%d commits", kills); kills < 10 {
				t.Errorf("only %d commits: does the wire trip?", kills)
			}
		})
	}
}

// cut is one end of the power.
type cut struct {
	at     int
	before bool
	within bool // while the script runs, whatever at says
}

// TestKill_Property draws policies and several cuts in a row, also in the middle
// of scripts.
func TestKill_Property(t *testing.T) {
	base, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := fmt.Sprintf("%s/%d", base, n)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		policies := rapid.SliceOfN(rapid.SampledFrom([]string{update.Retry, update.Ask, update.Skip}), 1, 3).Draw(t, "policies")
		var cuts []cut
		for range rapid.IntRange(1, 4).Draw(t, "cuts") {
			cuts = append(cuts, cut{rapid.IntRange(1, 8).Draw(t, "at"), rapid.Bool().Draw(t, "before"), rapid.Bool().Draw(t, "within")})
		}
		killed(t, dir, policies, cuts)
	})
}

// killed lets a machine live through cuts, then undisturbed until nothing is to be
// done, and judges. It tells whether a cut was reached.
func killed(t fataler, dir string, policies []string, cuts []cut) (reached bool) {
	t.Helper()
	m := newMachine(t, dir)
	hang := dir + "/hang"
	for i, p := range policies {
		h := header(i + 1)
		h.OnInterrupt = p
		m.publish(h, fmt.Sprintf("while [ -e '%s' ]; do touch '%s/hangs'; sleep 0.01; done", hang, dir))
	}
	for _, c := range cuts {
		ctx, cancel := context.WithCancel(context.Background())
		r, stop := m.start(t, func(s Store) Store {
			w := &tripwire{Store: s, at: c.at, before: c.before, trip: func() { reached = true; cancel() }}
			if c.within {
				w.at = 1000
			}
			return w
		})
		watched := make(chan struct{})
		os.Remove(dir + "/hangs")
		if c.within {
			if err := os.WriteFile(hang, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			go func() {
				defer close(watched)
				for ctx.Err() == nil {
					if _, err := os.Stat(dir + "/hangs"); err == nil {
						r.cfg.Store.(*tripwire).cutNow()
						cancel()
					}
				}
			}()
		} else {
			close(watched)
		}
		if r.settle(ctx) == nil && r.clear() == nil {
			r.Round(ctx) // its errors are the cuts
		}
		cancel()
		<-watched
		os.Remove(hang)
		stop()
	}
	decided := map[string]bool{}
	for range 20 {
		if err := m.life(t); err != nil {
			t.Fatalf("undisturbed: %v", err)
		}
		open := false
		for key, rep := range m.server.reports {
			if rep.State == update.Interrupted && rep.Policy == update.Ask && !decided[key] && m.newest(rep) {
				decided[key], open = true, true
				if m.server.offer.Decisions == nil {
					m.server.offer.Decisions = map[string]string{}
				}
				m.server.offer.Decisions[key] = []string{update.Retry, update.Skip}[len(decided)%2]
				m.server.version++
			}
		}
		if !open {
			break
		}
	}
	m.judge(t, len(policies))
	return reached
}

func (m *machine) newest(r update.Report) bool {
	for _, o := range m.server.reports {
		if o.Number == r.Number && o.Attempt > r.Attempt {
			return false
		}
	}
	return true
}

func (m *machine) judge(t fataler, n int) {
	t.Helper()
	marks := m.marked()
	if !slices.IsSorted(marks) {
		t.Fatalf("not in order: %v", marks)
	}
	states := m.states()
	for i := range n {
		name := update.Name(i + 1)
		ran, uncertain, attempts := 0, 0, 0
		for _, mark := range marks {
			if mark == name {
				ran++
			}
		}
		for _, r := range m.server.reports {
			if r.Number != name {
				continue
			}
			attempts++
			if r.State == update.Interrupted || r.State == update.Skipped {
				uncertain++
			}
		}
		switch state := states[name]; {
		case state == update.Done && (ran < 1 || ran > 1+uncertain || attempts != 1+uncertain):
			t.Fatalf("%s is done: %d marks, %d of %d attempts were reported as interrupted", name, ran, uncertain, attempts)
		case state == update.Skipped && (ran > uncertain || attempts != uncertain):
			t.Fatalf("%s was left: %d marks, %d of %d attempts were reported as interrupted", name, ran, uncertain, attempts)
		case state != update.Done && state != update.Skipped:
			t.Fatalf("%s is %q in the end", name, state)
		}
	}
}
