package scheduler

import (
	"iter"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// What a scheduler says is unknown while it cannot be asked, and while nobody asks it: a
// node is not gone then.
func TestCompare_CannotBeAsked(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	st, err := store.Open(t.Context(), db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Use: []string{"exec"}, Exec: Program{Program: []string{"/bin/false"}}, Store: st, Desired: func(*store.Tx) iter.Seq2[node.Node, error] {
		return func(yield func(node.Node, error) bool) {
			_ = yield(node.Node{Name: "a.grid.test", Scheduler: "exec", Up: true}, nil) && yield(node.Node{Name: "b.grid.test", Scheduler: "oar", Up: true}, nil)
		}
	}})
	all, err := s.Compare(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%v %v", all, err)
	}
	for i, why := range []string{"exit status 1", "this server does not drive oar"} {
		if r := all[i]; r.Is != node.Unknown || r.Known || !strings.Contains(r.Why, why) {
			t.Errorf("%+v", r)
		}
	}
}
