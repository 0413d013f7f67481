package timeline

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

func open(t *testing.T, now func() time.Time) *store.Store {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, now, Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), store.Origin{Actor: "agent"}, fn); err != nil {
		t.Fatal(err)
	}
}

func texts(t *testing.T, s *store.Store, limit int) (list []string) {
	t.Helper()
	err := s.View(t.Context(), func(tx *store.Tx) error {
		entries, err := Read(tx, limit)
		for _, e := range entries {
			list = append(list, e.Text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestWrite_KeepsOrderWhenTheClockIsSetBack(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := open(t, func() time.Time { return now })
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(Write(tx, Entry{Category: System, Text: "one"}), Write(tx, Entry{Category: System, Text: "two"}))
	})
	now = now.Add(-time.Hour)
	update(t, s, func(tx *store.Tx) error {
		return Write(tx, Entry{Category: RunActions, Text: "three", Change: "c1", Product: "firefox"})
	})
	if d := cmp.Diff([]string{"three", "two"}, texts(t, s, 2)); d != "" {
		t.Error(d)
	}
	err := s.View(t.Context(), func(tx *store.Tx) error {
		list, err := Read(tx, 0)
		if err != nil || len(list) != 3 {
			return fmt.Errorf("%d lines, error %w", len(list), err)
		}
		want := Entry{ID: id(2), At: "2026-03-01 11:00:00", Category: RunActions, Text: "three", Change: "c1", Product: "firefox"}
		if d := cmp.Diff(want, list[0]); d != "" {
			t.Error(d)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWrite_IsPartOfItsTransaction(t *testing.T) {
	s := open(t, time.Now)
	failed := errors.New("no")
	err := s.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error {
		return errors.Join(Write(tx, Entry{Category: Error, Text: "never was"}), failed)
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	update(t, s, func(tx *store.Tx) error { return Write(tx, Entry{Category: Error, Text: "was"}) })
	if d := cmp.Diff([]string{"was"}, texts(t, s, 0)); d != "" {
		t.Error(d)
	}
}

func TestWrite_RefusesOtherCategories(t *testing.T) {
	s := open(t, time.Now)
	err := s.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error { return Write(tx, Entry{Category: "gossip"}) })
	if fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("error %v", err)
	}
	if got := texts(t, s, 0); got != nil {
		t.Errorf("lines %v", got)
	}
}

func TestWrite_ForgetsTheOldest(t *testing.T) {
	s := open(t, time.Now)
	write := func(from, to int64) {
		update(t, s, func(tx *store.Tx) error {
			for n := from; n < to; n++ {
				if err := Write(tx, Entry{Category: System, Text: fmt.Sprint(n)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	count := func() (n int) {
		err := s.View(t.Context(), func(tx *store.Tx) error {
			kept, err := tx.Select(entries, nil)
			n = len(kept)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const some = batch + 50
	write(0, some)
	// As if the thousands in between had been written, too.
	update(t, s, func(tx *store.Tx) error {
		return tx.Put(spans, spans.Encode(span{Name: "all", Next: Keep}))
	})
	write(Keep, Keep+batch)
	if got := count(); got != some+batch {
		t.Errorf("%d lines before the batch is full", got)
	}
	write(Keep+batch, Keep+batch+1)
	if got := count(); got != some {
		t.Errorf("%d lines after the batch is forgotten, not %d", got, some)
	}
	got := texts(t, s, 0)
	if len(got) != some || got[0] != fmt.Sprint(Keep+batch) || got[some-1] != fmt.Sprint(batch+1) {
		t.Errorf("read %d lines, from %q to %q", len(got), got[0], got[len(got)-1])
	}
}

func TestWrite_ClipsText(t *testing.T) {
	s := open(t, time.Now)
	update(t, s, func(tx *store.Tx) error {
		return Write(tx, Entry{Category: Error, Text: strings.Repeat("é", maxText)})
	})
	if got := texts(t, s, 1)[0]; len(got) > maxText+4 || !strings.HasSuffix(got, "é ...") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-8:])
	}
}
