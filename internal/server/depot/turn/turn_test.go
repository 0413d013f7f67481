package turn

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// A server that lost its turn and has it again, in another request, does not let
// the first one write under the second one's turn, nor take that away at its end.
func TestDo_LostAndTakenAgain(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var passed atomic.Int64
	s, err := store.Open(t.Context(), db, func() time.Time { return time.Unix(1_800_000_000, passed.Load()) }, lease.Class)
	if err != nil {
		t.Fatal(err)
	}
	turns := New(lease.New(s, "a"), "depot.example.org")
	nothing := func(context.Context) error { return nil }
	err = turns.Do(t.Context(), nothing, func(first context.Context) error {
		if err := turns.Still(first); err != nil {
			t.Errorf("in the turn: %v", err)
		}
		passed.Add(int64(2 * lease.Life))
		return turns.Do(t.Context(), nothing, func(second context.Context) error {
			if err := turns.Still(first); !errors.Is(err, lease.ErrLost) {
				t.Errorf("the first may go on in the second's turn: %v", err)
			}
			if err := turns.Do(ended(t), nothing, nothing); err == nil {
				t.Error("a third has the turn")
			}
			return turns.Still(second)
		})
	})
	if !errors.Is(err, lease.ErrLost) { // the first cannot give back what it lost
		t.Errorf("the first ends with %v", err)
	}
	if err := turns.Still(t.Context()); !errors.Is(err, lease.ErrLost) {
		t.Errorf("outside of any turn: %v", err)
	}
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
