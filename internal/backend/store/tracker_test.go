package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// since is what the tracker holds after a revision, as "id: snapshot -> now".
func since(t *testing.T, s *store.Store, revision int64) (out []string) {
	view(t, s, func(tx *store.Tx) error {
		tracked, err := tx.Since(revision)
		for _, o := range tracked {
			describe := func(r fleet.Row) string {
				if r == nil {
					return "nothing"
				}
				return r.Str("description") + "/" + r.Str("notes")
			}
			out = append(out, o.Key+": "+describe(o.Base)+" -> "+describe(o.Mine))
		}
		return err
	})
	return out
}

func wantSince(t *testing.T, s *store.Store, revision int64, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, since(t, s, revision)); d != "" {
		t.Errorf("tracked since %d (-want +got):\n%s", revision, d)
	}
}

func TestSince_ComposesTheSnapshot(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		patch := func(origin store.Origin, id, column string, value any) {
			t.Helper()
			update(t, s, origin, func(tx *store.Tx) error {
				r := group(id, "")
				delete(r, "description")
				r[column] = value
				return tx.Patch(fleet.Groups, r)
			})
		}
		remove := func(origin store.Origin, id string) {
			t.Helper()
			update(t, s, origin, func(tx *store.Tx) error { return tx.Remove(fleet.Groups, group(id, "")) })
		}
		put(t, s, there, "a", "0")
		put(t, s, there, "b", "0")
		mark := put(t, s, there, "c", "0").Revision
		wantSince(t, s, mark)

		patch(here, "a", "description", "1")
		patch(here, "a", "notes", "n")
		patch(here, "a", "description", "2")
		wantSince(t, s, mark, "HostGroup;a: 0/ -> 2/n")

		patch(here, "b", "description", "1")
		wantSince(t, s, mark, "HostGroup;a: 0/ -> 2/n", "HostGroup;b: 0/ -> 1/")
		patch(here, "b", "description", "0") // back to what it was
		wantSince(t, s, mark, "HostGroup;a: 0/ -> 2/n")

		put(t, s, here, "new", "1")
		remove(here, "c")
		wantSince(t, s, mark, "HostGroup;a: 0/ -> 2/n", "HostGroup;new: nothing -> 1/", "HostGroup;c: 0/ -> nothing")
		remove(here, "new") // made and deleted: never was
		put(t, s, here, "c", "1")
		wantSince(t, s, mark, "HostGroup;a: 0/ -> 2/n", "HostGroup;c: 0/ -> 1/")

		patch(there, "a", "description", "server") // what the other side sent is the snapshot
		wantSince(t, s, mark, "HostGroup;c: 0/ -> 1/")
		patch(here, "a", "notes", "mine")
		wantSince(t, s, mark, "HostGroup;c: 0/ -> 1/", "HostGroup;a: server/n -> server/mine")

		sent := position(t, s).Revision
		wantSince(t, s, sent)
		patch(here, "c", "description", "2")
		update(t, s, there, func(tx *store.Tx) error { return tx.Trim(sent) })
		wantSince(t, s, sent, "HostGroup;c: 1/ -> 2/")
	})
}

func TestKnows_OwnHistory(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		start := position(t, s)
		if !knows(t, s, start) {
			t.Error("an empty database does not know its own beginning")
		}
		var all []store.Position
		for _, d := range []string{"1", "2", "3"} {
			pos := put(t, s, here, "g", d)
			if pos != position(t, s) {
				t.Errorf("the change is at %v, the database at %v", pos, position(t, s))
			}
			all = append(all, pos)
		}
		for _, pos := range append(all, start) {
			if !knows(t, s, pos) {
				t.Errorf("does not know %v", pos)
			}
		}
		for name, change := range map[string]func(*store.Position){
			"another database": func(p *store.Position) { p.Epoch = "x" },
			"another tag":      func(p *store.Position) { p.Tag = "x" },
			"no tag":           func(p *store.Position) { p.Tag = "" },
			"the future":       func(p *store.Position) { p.Revision++ },
			"the past":         func(p *store.Position) { p.Revision-- },
			"before time":      func(p *store.Position) { p.Revision = -1 },
		} {
			pos := all[2]
			if change(&pos); knows(t, s, pos) {
				t.Errorf("%s: knows %v", name, pos)
			}
		}
		trim := func(revision int64) {
			update(t, s, here, func(tx *store.Tx) error { return tx.Trim(revision) })
		}
		trim(1)
		if knows(t, s, start) {
			t.Error("knows the beginning, of which the first change is forgotten")
		}
		trim(2)
		if knows(t, s, all[0]) || !knows(t, s, all[1]) || !knows(t, s, all[2]) {
			t.Error("after forgetting up to 2, positions 2 and 3 are known and 1 is not")
		}
	})
}

func TestKnows_ForkedHistoryAndRestoredBackup(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) (*store.Store, func()) {
		conn, err := sqlite.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return openStore(t, conn, newClock()), func() {
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, end := open("first.db")
	common := put(t, first, here, "g", "1")
	end()
	data, err := os.ReadFile(filepath.Join(dir, "first.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "second.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}

	first, end = open("first.db")
	defer end()
	second, end2 := open("second.db")
	defer end2()
	ahead := put(t, first, here, "g", "2")
	if knows(t, second, ahead) {
		t.Error("the backup knows what came after it")
	}
	fork := put(t, second, here, "g", "other")
	if fork.Revision != ahead.Revision || fork.Epoch != ahead.Epoch {
		t.Fatalf("the copies are not at one revision: %v, %v", fork, ahead)
	}
	if knows(t, second, ahead) || knows(t, first, fork) {
		t.Error("one copy knows the other's history")
	}
	if !knows(t, first, common) || !knows(t, second, common) {
		t.Error("the common past is not known")
	}
	put(t, second, here, "g", "more")
	if knows(t, second, ahead) {
		t.Error("writing on makes the fork forget that it is one")
	}
}
