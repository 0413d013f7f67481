package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// woken fails if no wake-up comes within a time that is long for a machine.
func woken(t *testing.T, wake <-chan struct{}, why string) {
	t.Helper()
	select {
	case <-wake:
	case <-time.After(20 * time.Second):
		t.Fatalf("nobody was woken: %s", why)
	}
}

func asleep(t *testing.T, wake <-chan struct{}, why string) {
	t.Helper()
	select {
	case <-wake:
		t.Fatalf("woken: %s", why)
	default:
	}
}

func TestWatch(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		revisions, stop := s.Watch(store.Revisions)
		mail, stopMail := s.Watch("mail pc1", "mail pc2")
		defer stopMail()

		put(t, s, here, "g", "one")
		put(t, s, here, "g", "two")
		woken(t, revisions, "two revisions")
		asleep(t, revisions, "wake-ups that nobody took are one")
		asleep(t, mail, "another topic")

		put(t, s, here, "g", "two")
		asleep(t, revisions, "nothing changed")

		update(t, s, here, func(tx *store.Tx) error { tx.Wake("mail pc2"); return nil })
		woken(t, mail, "its topic")
		asleep(t, revisions, "no revision was made")

		failed := errors.New("no")
		err := s.Update(t.Context(), here, func(tx *store.Tx) error {
			tx.Wake("mail pc1")
			return errors.Join(putGroup(tx, "h", "one"), failed)
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		asleep(t, mail, "what is undone wakes nobody")
		asleep(t, revisions, "what is undone wakes nobody")

		stop()
		put(t, s, here, "g", "three")
		asleep(t, revisions, "it is stopped")
	})
}

// serve runs a store's service until the test ends.
func serve(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the store served until %v", err)
		}
	})
}

// Two processes on one database: each commit of one wakes the other, also after
// the connection that carries it was lost.
func TestWatch_AcrossProcesses(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		a, conn := db.store(), db.conn()
		b := openStore(t, conn, newClock())
		serve(t, b)
		if conn.Dialect == sqldb.SQLite {
			return // one process; that Serve ends is what is to be seen
		}
		wake, stop := b.Watch(store.Revisions, "bus here")
		defer stop()
		woken(t, wake, "it listens from now on")

		put(t, a, here, "g", "one")
		woken(t, wake, "a commit of the other process")
		update(t, a, here, func(tx *store.Tx) error { tx.Wake("bus there"); tx.Wake("bus here"); return nil })
		woken(t, wake, "a topic of the other process")

		if _, err := conn.Write.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'LISTEN%'`); err != nil {
			t.Fatal(err)
		}
		woken(t, wake, "the way was lost: somebody may have been missed")
		put(t, a, here, "g", "two")
		woken(t, wake, "a commit after that")
	})
}

// A watcher that looks once and then after each wake-up misses nothing.
func TestWatch_MissesNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		const rounds = 200
		go func() {
			for range rounds {
				s.Update(context.Background(), here, func(tx *store.Tx) error {
					p, err := tx.Position()
					return errors.Join(err, putGroup(tx, "g", time.Duration(p.Revision).String()))
				})
			}
		}()
		wake, stop := s.Watch(store.Revisions)
		defer stop()
		for position(t, s).Revision < rounds {
			woken(t, wake, "there is more to come")
		}
		if got := groups(t, s); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
}
