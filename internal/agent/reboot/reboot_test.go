package reboot

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, time.Now, Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), origin, fn); err != nil {
		t.Fatal(err)
	}
}

func ask(w Wish) func(*store.Tx) error {
	return func(tx *store.Tx) error { return Ask(tx, "boot 1", w) }
}

// machine counts what is done to it.
type machine struct {
	restarts int
	busy     bool
	fail     error
	told     []string
	warnings []string
}

func (m *machine) keeper(s *store.Store, boot string) *Keeper {
	return New(Config{Store: s, Boot: boot, Log: slog.New(slog.DiscardHandler),
		Busy:    func(*store.Tx) (bool, error) { return m.busy, nil },
		Alone:   func(_ context.Context, fn func() error) error { return fn() },
		Restart: func(context.Context) error { m.restarts++; return m.fail },
		Warn:    func(_ context.Context, text string) { m.warnings = append(m.warnings, text) },
		Tell:    func(_ context.Context, text string) { m.told = append(m.told, text) },
	})
}

// after serves for a time.
func after(t *testing.T, k *Keeper, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := k.Serve(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestKeeper(t *testing.T) {
	hour := Policy{Warning: time.Hour, Deferrals: 2, Repeat: 2 * time.Hour, Last: 4 * time.Hour}
	later := func(by time.Duration) func(*store.Tx) error {
		return func(tx *store.Tx) error { _, err := Later(tx, "boot 1", by); return err }
	}
	tests := []struct {
		name string
		do   func(t *testing.T, s *store.Store, m *machine)
	}{
		{"nothing is asked for", func(t *testing.T, s *store.Store, m *machine) {
			after(t, m.keeper(s, "boot 1"), 48*time.Hour)
			want(t, m, 0)
		}},
		{"after its warning time, once", func(t *testing.T, s *store.Store, m *machine) {
			update(t, s, ask(Wish{Text: "new driver", Policy: hour}))
			after(t, m.keeper(s, "boot 1"), 59*time.Minute)
			want(t, m, 0)
			if len(m.warnings) != 1 || !strings.Contains(m.warnings[0], "new driver. It can be put off 2 times") {
				t.Errorf("warnings %q", m.warnings)
			}
			after(t, m.keeper(s, "boot 1"), 2*time.Minute)
			want(t, m, 1)
		}},
		{"accepted", func(t *testing.T, s *store.Store, m *machine) {
			update(t, s, ask(Wish{Policy: hour}))
			update(t, s, func(tx *store.Tx) error { return Accept(tx, "boot 1") })
			after(t, m.keeper(s, "boot 1"), time.Minute)
			want(t, m, 1)
		}},
		{"put off, and again, and no more", func(t *testing.T, s *store.Store, m *machine) {
			update(t, s, ask(Wish{Policy: hour}))
			update(t, s, later(0))
			after(t, m.keeper(s, "boot 1"), 119*time.Minute)
			want(t, m, 0)
			update(t, s, later(time.Hour))
			err := s.Update(t.Context(), origin, later(0))
			if fleet.CodeOf(err) != fleet.Denied || !strings.Contains(err.Error(), "was put off 2 times") {
				t.Errorf("put off a third time: %v", err)
			}
			after(t, m.keeper(s, "boot 1"), 59*time.Minute)
			want(t, m, 0)
			after(t, m.keeper(s, "boot 1"), 3*time.Minute)
			want(t, m, 1)
		}},
		{"never later than the last time", func(t *testing.T, s *store.Store, m *machine) {
			p := hour
			p.Deferrals, p.Last = 100, 3*time.Hour
			update(t, s, ask(Wish{Policy: p}))
			update(t, s, later(0))
			after(t, m.keeper(s, "boot 1"), 90*time.Minute)
			update(t, s, later(0)) // until three hours after the request
			if err := s.Update(t.Context(), origin, later(0)); fleet.CodeOf(err) != fleet.Denied {
				t.Errorf("put off beyond the last time: %v", err)
			}
			after(t, m.keeper(s, "boot 1"), 89*time.Minute)
			want(t, m, 0)
			after(t, m.keeper(s, "boot 1"), 2*time.Minute)
			want(t, m, 1)
		}},
		{"not while something is installed", func(t *testing.T, s *store.Store, m *machine) {
			m.busy = true
			update(t, s, ask(Wish{}))
			after(t, m.keeper(s, "boot 1"), time.Hour)
			want(t, m, 0)
			m.busy = false
			after(t, m.keeper(s, "boot 1"), time.Minute)
			want(t, m, 1)
		}},
		{"an agent that starts again in the same boot does not tell the machine again at once", func(t *testing.T, s *store.Store, m *machine) {
			update(t, s, ask(Wish{}))
			after(t, m.keeper(s, "boot 1"), time.Minute)
			after(t, m.keeper(s, "boot 1"), 5*time.Minute)
			want(t, m, 1)
			after(t, m.keeper(s, "boot 1"), 5*time.Minute)
			want(t, m, 2)
		}},
		{"a command that fails is given up", func(t *testing.T, s *store.Store, m *machine) {
			m.fail = errors.New("not permitted")
			update(t, s, ask(Wish{}))
			after(t, m.keeper(s, "boot 1"), 24*time.Hour)
			want(t, m, MaxTries)
			if last := m.told[len(m.told)-1]; last != "cannot restart the machine: not permitted; given up after 3 tries, restart it by hand" {
				t.Errorf("told %q", last)
			}
			update(t, s, func(tx *store.Tx) error { return Accept(tx, "boot 1") })
			after(t, m.keeper(s, "boot 1"), time.Second)
			want(t, m, MaxTries+1)
		}},
		{"a boot by whomever makes it true", func(t *testing.T, s *store.Store, m *machine) {
			update(t, s, ask(Wish{After: "change", Policy: hour}))
			after(t, m.keeper(s, "boot 2"), 2*time.Hour)
			want(t, m, 0)
			update(t, s, func(tx *store.Tx) error {
				if _, ok, err := Booted(tx, "boot 1"); err != nil || ok {
					t.Errorf("true in the boot that it was asked in: %v", err)
				}
				r, ok, err := Booted(tx, "boot 2")
				if !ok || r.After != "change" {
					t.Errorf("%+v, %v", r, ok)
				}
				if _, ok, _ := Booted(tx, "boot 3"); ok {
					t.Error("it came true twice")
				}
				return err
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tt.do(t, open(t), &machine{}) })
		})
	}
}

func want(t *testing.T, m *machine, restarts int) {
	t.Helper()
	if m.restarts != restarts {
		t.Fatalf("%d restarts, want %d; told %q", m.restarts, restarts, m.told)
	}
}

func TestAsk_Together(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		update(t, s, ask(Wish{Text: "products are ready", Policy: Policy{Warning: time.Hour, Deferrals: 10, Repeat: time.Hour, Last: 8 * time.Hour}}))
		update(t, s, ask(Wish{Text: "new driver", Hold: true, Policy: Policy{Warning: time.Minute}}))
		update(t, s, ask(Wish{Text: "new driver", After: "change", Policy: Policy{Warning: 2 * time.Hour, Deferrals: 3, Last: time.Hour}}))
		now := time.Now()
		var got Request
		update(t, s, func(tx *store.Tx) (err error) { got, _, err = Read(tx, "boot 1"); return err })
		if d := cmp.Diff(Request{Name: only, Boot: "boot 1", Text: "products are ready; new driver", Hold: true, After: "change",
			Asked: stamp(now), Due: stamp(now.Add(time.Minute)), Latest: stamp(now.Add(time.Hour)), Warning: 60}, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
}

func TestSteps(t *testing.T) {
	s := open(t)
	goOn := func(to string) error {
		return s.Update(t.Context(), origin, func(tx *store.Tx) error { return GoOn(tx, "setup of driver 1-1", to) })
	}
	step := func() (at string) {
		update(t, s, func(tx *store.Tx) (err error) { at, err = Step(tx, "setup of driver 1-1"); return err })
		return at
	}
	if got := step(); got != "" {
		t.Errorf("at first %q", got)
	}
	for range MaxBoots {
		if err := goOn("second"); err != nil {
			t.Fatal(err)
		}
	}
	if got := step(); got != "second" {
		t.Errorf("then %q", got)
	}
	if err := goOn("second"); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("without an end: %v", err)
	}
	update(t, s, func(tx *store.Tx) error { return Forget(tx, "setup of driver 1-1") })
	if got := step(); got != "" {
		t.Errorf("when it has ended %q", got)
	}
}
