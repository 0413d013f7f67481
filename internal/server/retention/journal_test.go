package retention

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/require"
)

func TestForget(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		db, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
		forget(t, db, err)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), require.Postgres(t))
		forget(t, db, err)
	})
}

// What is old goes, what is young stays, and a position of before is no longer
// known, while the present one is.
func forget(t *testing.T, db *sqldb.DB, err error) {
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := store.Open(t.Context(), db, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	j := &Journal{Store: s, Keep: 30 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler)}
	var positions []store.Position
	for i := range 60 { // one change a day
		now = now.Add(24 * time.Hour)
		p, err := s.UpdateAt(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
			return tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": "pc1.example.org", "description": fmt.Sprint(i)})
		})
		if err != nil {
			t.Fatal(err)
		}
		positions = append(positions, p)
	}
	if n, err := j.forget(t.Context()); err != nil || n != 28 { // 29 are older; the last of them stays as a position
		t.Errorf("%d revisions are forgotten, %v", n, err)
	}
	if n, err := j.forget(t.Context()); err != nil || n != 0 {
		t.Errorf("again %d, %v", n, err)
	}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		left, err := tx.History(store.Look{})
		if err != nil {
			return err
		}
		if oldest := left[len(left)-1]; len(left) != 31 || now.Sub(oldest.At) > j.Keep {
			t.Errorf("%d entries are left, the oldest of %v", len(left), oldest.At)
		}
		for i, want := range map[int]bool{0: false, 27: false, 28: true, 59: true} {
			if known, err := tx.Knows(positions[i]); err != nil || known != want {
				t.Errorf("day %d: known %t, %v", i, known, err)
			}
		}
		r, err := tx.Get(fleet.Hosts, fleet.Row{"id": "pc1.example.org"})
		if r.Str("description") != "59" {
			t.Errorf("the row is %v", r)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
