package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// A batch is a store whose committer is held up, so that whatever is started
// meanwhile is committed as one group.
type batch struct {
	t       *testing.T
	conn    *sqldb.DB
	s       *store.Store
	clock   *clock
	release chan struct{}
	held    bool
	wg      sync.WaitGroup
}

// inBatch runs a test in a bubble, where "all writers wait for the committer"
// is a condition that can be waited for.
func inBatch(t *testing.T, test func(b *batch)) {
	onEngines(t, func(t *testing.T, db database) {
		synctest.Test(t, func(t *testing.T) {
			conn, err := db.open()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			b := &batch{t: t, conn: conn, clock: newClock(), release: make(chan struct{})}
			b.s = openStore(t, conn, b.clock)
			test(b)
			b.wg.Wait()
		})
	})
}

// start makes an Update and returns once it waits for its turn.
func (b *batch) start(ctx context.Context, fn func(*store.Tx) error, done func(error)) {
	b.wg.Go(func() { done(b.s.Update(ctx, here, fn)) })
	synctest.Wait()
}

// write starts an Update that puts a group and must succeed. The first one of a
// batch holds the committer up.
func (b *batch) write(id string) {
	first := !b.held
	b.held = true
	b.start(context.Background(), func(tx *store.Tx) error {
		if first {
			<-b.release
		}
		return putGroup(tx, id, "")
	}, func(err error) {
		if err != nil {
			b.t.Errorf("%s: %v", id, err)
		}
	})
}

// commit lets the committer go, waits for all, and checks which groups are there.
func (b *batch) commit(want ...string) {
	b.t.Helper()
	close(b.release)
	b.wg.Wait()
	got := groups(b.t, b.s)
	for _, id := range want {
		if _, ok := got[id]; !ok {
			b.t.Errorf("%s is missing", id)
		}
		delete(got, id)
	}
	if len(got) > 0 {
		b.t.Errorf("there is also %v", got)
	}
}

func TestUpdate_CancelledRequestDoesNotRollBackItsBatch(t *testing.T) {
	inBatch(t, func(b *batch) {
		waiting, giveUp := context.WithCancel(context.Background())
		running, stop := context.WithCancel(context.Background())
		b.write("before")
		b.start(waiting, func(*store.Tx) error { return errors.New("ran although nobody waits for it") }, func(err error) {
			if !errors.Is(err, context.Canceled) {
				b.t.Errorf("cancelled before its turn: %v", err)
			}
		})
		b.start(running, func(tx *store.Tx) error { stop(); return putGroup(tx, "running", "") }, func(err error) {
			if err != nil {
				b.t.Errorf("cancelled while running: %v, but the outcome is never in doubt", err)
			}
		})
		b.write("after")
		giveUp()
		b.commit("before", "running", "after")
	})
}

// Who waits behind a group that does not end may give up.
func TestUpdate_GivesUpBehindAGroup(t *testing.T) {
	inBatch(t, func(b *batch) {
		waiting, giveUp := context.WithCancel(context.Background())
		given := make(chan error, 1)
		b.write("before")
		b.start(waiting, func(tx *store.Tx) error { return putGroup(tx, "given up", "") }, func(err error) { given <- err })
		giveUp()
		synctest.Wait()
		select {
		case err := <-given:
			if !errors.Is(err, context.Canceled) {
				b.t.Errorf("gave up with %v", err)
			}
		default:
			b.t.Error("it waits for the group before")
		}
		b.commit("before")
	})
}

func TestUpdate_FailingRequestUndoesOnlyItsSavepoint(t *testing.T) {
	inBatch(t, func(b *batch) {
		refused := errors.New("refused")
		b.write("before")
		b.start(context.Background(), func(tx *store.Tx) error {
			if err := putGroup(tx, "failing", ""); err != nil {
				return err
			}
			if err := putGroup(tx, "before", "changed"); err != nil {
				return err
			}
			return refused
		}, func(err error) {
			if err != refused {
				b.t.Errorf("got %v, want the function's own error", err)
			}
		})
		b.write("after")
		b.commit("before", "after")
		if got := groups(b.t, b.s)["before"]; got != "" {
			b.t.Errorf("the failing request's change stands: %q", got)
		}
		view(b.t, b.s, func(tx *store.Tx) error {
			changes, err := tx.Journal(0, "", 0)
			var got []int64
			for _, ch := range changes {
				got = append(got, ch.Revision)
			}
			if d := cmp.Diff([]int64{1, 2}, got); d != "" {
				b.t.Errorf("revisions (-want +got):\n%s", d)
			}
			return err
		})
	})
}

func TestUpdate_PanicIsOneRequestsError(t *testing.T) {
	inBatch(t, func(b *batch) {
		b.write("before")
		b.start(context.Background(), func(tx *store.Tx) error {
			if err := putGroup(tx, "failing", ""); err != nil {
				return err
			}
			panic("boom")
		}, func(err error) {
			if err == nil || !strings.Contains(err.Error(), "boom") || fleet.CodeOf(err) != fleet.Internal {
				b.t.Errorf("got %v (%s)", err, fleet.CodeOf(err))
			}
		})
		b.write("after")
		b.commit("before", "after")
	})
}

// A statement that failed must not end the group's transaction either where the
// request goes on as if nothing happened: PostgreSQL refuses all statements
// until the savepoint is rolled back.
func TestUpdate_IgnoredErrorOfTheDatabaseIsOneRequestsError(t *testing.T) {
	inBatch(t, func(b *batch) {
		if _, err := b.conn.Write.Exec(`ALTER TABLE "user" RENAME TO "gone"`); err != nil {
			b.t.Fatal(err)
		}
		b.write("before")
		b.start(context.Background(), func(tx *store.Tx) error {
			if _, err := tx.Select(fleet.Users, nil); err == nil {
				b.t.Error("a table that is not there can be read")
			}
			return nil
		}, func(error) {})
		b.write("after")
		b.commit("before", "after")
	})
}

func TestUpdate_ManyWritersAreCommittedInGroups(t *testing.T) {
	inBatch(t, func(b *batch) {
		const writers = 300
		var want []string
		for i := range writers {
			want = append(want, fmt.Sprintf("g%03d", i))
			b.write(want[i])
		}
		before := b.clock.reads.Load()
		b.commit(want...)
		// One read of the clock is the check's own; the first group has begun.
		if groups := 1 + b.clock.reads.Load() - before - 1; groups != 2 {
			b.t.Errorf("%d requests took %d groups, want one of 256 and one of the rest", writers, groups)
		}
	})
}

func TestUpdate_TooManyChangesIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 50,000 changes")
	}
	s := database{t, engines[0].fresh(t)}.store() // the limit is the store's own, not an engine's
	put(t, s, here, "g", "")
	done := 0
	err := s.Update(t.Context(), here, func(tx *store.Tx) error {
		for ; done <= store.MaxChanges; done++ {
			if err := tx.Patch(fleet.Groups, group("g", fmt.Sprint(done))); err != nil {
				return err
			}
		}
		return nil
	})
	if fleet.CodeOf(err) != fleet.TooLarge || done != store.MaxChanges {
		t.Errorf("after %d changes: %v", done, err)
	}
	if got := groups(t, s)["g"]; got != "" {
		t.Errorf("the refused changes left %q", got)
	}
}
