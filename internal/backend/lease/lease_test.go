package lease_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/require"
)

// clock goes when a test says so.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1_800_000_000, c.Load()) }

func (c *clock) pass(d time.Duration) { c.Add(int64(d)) }

// onEngines gives a test servers on one database.
func onEngines(t *testing.T, test func(t *testing.T, c *clock, server func(name string) (*lease.Leases, *store.Store))) {
	for name, open := range map[string]func(t *testing.T) func() (*sqldb.DB, error){
		"SQLite": func(t *testing.T) func() (*sqldb.DB, error) {
			path := filepath.Join(t.TempDir(), "x.db")
			return func() (*sqldb.DB, error) { return sqlite.Open(path) }
		},
		"PostgreSQL": func(t *testing.T) func() (*sqldb.DB, error) {
			url := require.Postgres(t)
			return func() (*sqldb.DB, error) { return postgres.Open(context.Background(), url) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			opener, c := open(t), &clock{}
			test(t, c, func(name string) (*lease.Leases, *store.Store) {
				db, err := opener()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Close() })
				s, err := store.Open(t.Context(), db, c.now, lease.Class)
				if err != nil {
					t.Fatal(err)
				}
				return lease.New(s, name), s
			})
		})
	}
}

func check(t *testing.T, s *store.Store, h *lease.Held) error {
	t.Helper()
	return s.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error { return h.Check(tx) })
}

func TestLease(t *testing.T) {
	onEngines(t, func(t *testing.T, c *clock, server func(string) (*lease.Leases, *store.Store)) {
		a, sa := server("a")
		b, sb := server("b")
		ctx := t.Context()
		first, err := a.Take(ctx, "depot x", "here")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []*lease.Leases{a, b} {
			if _, err := l.Take(ctx, "depot x", ""); fleet.CodeOf(err) != fleet.Locked {
				t.Errorf("taken twice: %v", err)
			}
		}
		if _, err := b.Take(ctx, "depot y", ""); err != nil {
			t.Errorf("another lease: %v", err)
		}
		c.pass(lease.Life - time.Second)
		if err := first.Renew(ctx); err != nil {
			t.Fatal(err)
		}
		c.pass(lease.Life - time.Second)
		if _, err := b.Take(ctx, "depot x", ""); fleet.CodeOf(err) != fleet.Locked {
			t.Errorf("it was prolonged: %v", err)
		}
		if all, err := b.All(ctx, "depot x"); err != nil || len(all) != 1 || all[0].Holder != "a" || all[0].Info != "here" {
			t.Errorf("%+v, %v", all, err)
		}
		c.pass(2 * time.Second)
		if err := check(t, sa, first); err != nil {
			t.Errorf("nobody followed yet: %v", err)
		}
		second, err := b.Take(ctx, "depot x", "")
		if err != nil || second.Number() <= first.Number() {
			t.Fatalf("it lapsed: %v", err)
		}
		// The stale owner comes back and is refused by its number, in all it does.
		for what, err := range map[string]error{"check": check(t, sa, first), "renew": first.Renew(ctx), "release": first.Release(ctx)} {
			if fleet.CodeOf(err) != fleet.Conflict {
				t.Errorf("%s of a stale holder: %v", what, err)
			}
		}
		if err := check(t, sb, second); err != nil {
			t.Error(err)
		}
		if err := second.Release(ctx); err != nil {
			t.Fatal(err)
		}
		if err := check(t, sb, second); fleet.CodeOf(err) != fleet.Conflict {
			t.Errorf("given back, and still good: %v", err)
		}
		third, err := a.Take(ctx, "depot x", "")
		if err != nil || third.Number() <= second.Number() {
			t.Fatalf("%v", err)
		}
		// The next process of that name has it at once.
		again, sc := server("a")
		fourth, err := again.Take(ctx, "depot x", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := check(t, sc, fourth); err != nil || fleet.CodeOf(check(t, sa, third)) != fleet.Conflict {
			t.Errorf("after a restart: %v", err)
		}
	})
}

func TestDo_OneAtATime(t *testing.T) {
	onEngines(t, func(t *testing.T, c *clock, server func(string) (*lease.Leases, *store.Store)) {
		var inside, most, done atomic.Int64
		var wg sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			l, s := server(name)
			ctx, stop := context.WithCancel(context.Background())
			served := make(chan struct{})
			go func() { defer close(served); s.Serve(ctx) }()
			t.Cleanup(func() { stop(); <-served })
			for range 2 {
				wg.Go(func() {
					err := l.Do(context.Background(), "one", "", func(context.Context, *lease.Held) error {
						most.Store(max(most.Load(), inside.Add(1)))
						defer inside.Add(-1)
						done.Add(1)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if most.Load() != 1 || done.Load() != 6 {
			t.Errorf("%d at once, %d done", most.Load(), done.Load())
		}
	})
}

func TestDo_ReturnsWhatWentWrong(t *testing.T) {
	onEngines(t, func(t *testing.T, c *clock, server func(string) (*lease.Leases, *store.Store)) {
		a, _ := server("a")
		b, _ := server("b")
		failed := errors.New("no")
		if err := a.Do(t.Context(), "one", "", func(context.Context, *lease.Held) error { return failed }); !errors.Is(err, failed) {
			t.Error(err)
		}
		err := a.Do(t.Context(), "one", "", func(ctx context.Context, h *lease.Held) error {
			c.pass(2 * lease.Life)
			_, err := b.Take(ctx, "one", "")
			return err
		})
		if fleet.CodeOf(err) != fleet.Conflict {
			t.Errorf("the lease was lost meanwhile: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Do(gone, "one", "", nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A lease ends for its holder in time also if the database does not even refuse
// to renew it.
func TestKeep_DatabaseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(filepath.Join(t.TempDir(), "x.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s, err := store.Open(t.Context(), db, time.Now, lease.Class)
		if err != nil {
			t.Fatal(err)
		}
		h, err := lease.New(s, "a").Take(t.Context(), "one", "")
		if err != nil {
			t.Fatal(err)
		}
		// Whoever has the database's one connection for writing has it for himself.
		busy, err := db.Write.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := h.Keep(t.Context()); fleet.CodeOf(err) != fleet.Unavailable || time.Since(began) >= lease.Life {
			t.Errorf("%v after %v, but the lease lasts %v", err, time.Since(began), lease.Life)
		}
		busy.Rollback()
		synctest.Wait()
	})
}
