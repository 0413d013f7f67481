package store_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// content is all rows by class and key, without volatile columns and without
// columns that hold no value.
type content map[string]map[string]fleet.Row

func (c content) set(class *fleet.Class, key string, r fleet.Row) {
	if r == nil {
		delete(c[class.Name], key)
		return
	}
	if c[class.Name] == nil {
		c[class.Name] = map[string]fleet.Row{}
	}
	c[class.Name][key] = steady(class, r)
}

func steady(class *fleet.Class, r fleet.Row) fleet.Row {
	out := fleet.Row{}
	for name, v := range r {
		if col := class.Column(name); v != nil && (col == nil || !col.Volatile) {
			out[name] = v
		}
	}
	return out
}

func tables(tx *store.Tx) (content, error) {
	c := content{}
	for _, class := range fleet.Classes() {
		rows, err := tx.Select(class, nil)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			c.set(class, class.Key(r), r)
		}
	}
	return c, nil
}

func classNamed(name string) *fleet.Class {
	for _, c := range fleet.Classes() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func classNames() (names []string) {
	for _, c := range fleet.Classes() {
		names = append(names, c.Name)
	}
	return names
}

func same(a, b content) string {
	for _, c := range []content{a, b} {
		for name, rows := range c {
			if len(rows) == 0 {
				delete(c, name)
			}
		}
	}
	return cmp.Diff(a, b)
}

// A change is one random write; it is drawn before the transaction begins.
type change struct {
	kind  string
	class *fleet.Class
	row   fleet.Row
}

func drawChanges(t *rapid.T) []change {
	out := make([]change, rapid.IntRange(1, 8).Draw(t, "changes"))
	for i := range out {
		c := &out[i]
		c.class = classNamed(rapid.SampledFrom(classNames()).Draw(t, "class"))
		c.kind = rapid.SampledFrom([]string{"put", "put", "put", "patch", "remove", "delete"}).Draw(t, "kind")
		if c.row = drawRow(t, c.class); c.kind == "patch" {
			c.row = drawPatch(t, c.class)
		}
	}
	return out
}

func (c change) make(tx *store.Tx) error {
	switch c.kind {
	case "patch":
		err := tx.Patch(c.class, c.row)
		if code := fleet.CodeOf(err); code == fleet.NotFound || code == fleet.Conflict || c.class.Open && code == fleet.Invalid {
			err = nil
		}
		return err
	case "remove":
		return tx.RemoveKey(c.class, c.class.Key(c.row))
	case "delete":
		ident := c.class.Ident()[0].Name
		_, err := tx.Delete(c.class, fleet.Filter{ident: c.row[ident]})
		return err
	}
	return tx.Put(c.class, c.row)
}

// empty deletes all rows.
func empty(tx *store.Tx) error {
	for _, c := range slices.Backward(fleet.Classes()) {
		if _, err := tx.Delete(c, nil); err != nil {
			return err
		}
	}
	return nil
}

func putSamples(tx *store.Tx) error {
	for _, c := range fleet.Classes() {
		for _, r := range bench.Sample(c) {
			if err := tx.Put(c, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestJournal_ReplayGivesTheTables(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		state := func(after int64) (now content, changes []store.Change, rev int64) {
			view(t, s, func(tx *store.Tx) (err error) {
				pos, err := tx.Position()
				if err != nil {
					return err
				}
				rev = pos.Revision
				if now, err = tables(tx); err == nil {
					changes, err = tx.Journal(after, "", 0)
				}
				return err
			})
			return now, changes, rev
		}
		rapid.Check(t, func(rt *rapid.T) {
			var updates [][]change
			for range rapid.IntRange(1, 4).Draw(rt, "updates") {
				updates = append(updates, drawChanges(rt))
			}
			update(t, s, here, empty) // a failure shrinks only from a known beginning
			before, _, mark := state(1 << 62)
			update(t, s, here, putSamples)
			for _, changes := range updates {
				update(t, s, here, func(tx *store.Tx) error {
					for _, c := range changes {
						if err := c.make(tx); err != nil {
							return err
						}
					}
					return nil
				})
			}
			now, changes, _ := state(mark)
			if d := same(now, replay(before, changes)); d != "" {
				rt.Fatalf("forward (-tables +replay):\n%s", d)
			}
			if d := same(before, rewind(now, changes)); d != "" {
				rt.Fatalf("backward (-tables +replay):\n%s", d)
			}
		})
		now, changes, _ := state(0)
		if d := same(now, replay(content{}, changes)); d != "" {
			t.Errorf("from nothing (-tables +replay):\n%s", d)
		}
		if d := same(content{}, rewind(now, changes)); d != "" {
			t.Errorf("back to nothing (-nothing +replay):\n%s", d)
		}
		updated := map[string]int{} // what the run never did, it did not show
		for _, ch := range changes {
			updated[ch.Class] += strings.Count(ch.Op, "update")
		}
		never := slices.DeleteFunc(slices.Collect(maps.Values(updated)), func(n int) bool { return n > 0 })
		if !testing.Short() && (len(updated) != len(fleet.Classes()) || len(never) > 7) { // some have nothing but their identity
			t.Errorf("the run touched too few classes: %v", updated)
		}
	})
}

func replay(from content, changes []store.Change) content {
	c := copyOf(from)
	for _, ch := range changes {
		class := classNamed(ch.Class)
		c.set(class, ch.Key, store.Redo(c[ch.Class][ch.Key], ch))
	}
	return c
}

func rewind(from content, changes []store.Change) content {
	c := copyOf(from)
	for _, ch := range slices.Backward(changes) {
		class := classNamed(ch.Class)
		c.set(class, ch.Key, store.Undo(c[ch.Class][ch.Key], ch))
	}
	return c
}

func copyOf(c content) content {
	out := content{}
	for name, rows := range c {
		out[name] = map[string]fleet.Row{}
		for key, r := range rows {
			out[name][key] = r
		}
	}
	return out
}

func TestUpdate_RepeatingAWriteChangesNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		all := func() (rows []fleet.Row) {
			view(t, s, func(tx *store.Tx) error {
				for _, c := range fleet.Classes() {
					r, err := tx.Select(c, nil)
					if err != nil {
						return err
					}
					rows = append(rows, r...)
				}
				return nil
			})
			return rows
		}
		update(t, s, here, putSamples)
		before := all()
		if pos := update(t, s, here, putSamples); pos != (store.Position{}) {
			t.Errorf("writing the same again made revision %d", pos.Revision)
		}
		if d := cmp.Diff(before, all()); d != "" {
			t.Errorf("writing the same again (-before +after):\n%s", d)
		}
	})
}

func TestUpdate_VolatileChangeMakesNoRevision(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		pc := bench.Sample(fleet.Hosts)[0]
		update(t, s, here, func(tx *store.Tx) error { return tx.Put(fleet.Hosts, pc) })
		before := position(t, s)
		pos := update(t, s, here, func(tx *store.Tx) error {
			return tx.Patch(fleet.Hosts, fleet.Row{"id": pc["id"], "lastSeen": "2026-01-02 03:04:05", "ipAddress": "10.0.0.1"})
		})
		if pos != (store.Position{}) || position(t, s) != before {
			t.Errorf("lastSeen alone made revision %v", pos)
		}
		view(t, s, func(tx *store.Tx) error {
			got, err := tx.Get(fleet.Hosts, fleet.Row{"id": pc["id"]})
			if got.Str("lastSeen") == "" || got.Str("ipAddress") == "" {
				t.Errorf("it is not kept either: %v", got)
			}
			return err
		})
	})
}

// A group may be called "*": what goes with it is its own, not everybody's.
func TestRemove_TakesOnlyWhatItOwns(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		update(t, s, here, func(tx *store.Tx) error {
			for _, id := range []string{"*", "all"} {
				if err := putGroup(tx, id, ""); err != nil {
					return err
				}
				member := fleet.Row{"groupType": fleet.HostGroup, "groupId": id, "objectId": "pc1.example.org"}
				if err := tx.Put(fleet.Memberships, member); err != nil {
					return err
				}
			}
			return tx.Remove(fleet.Groups, group("*", ""))
		})
		view(t, s, func(tx *store.Tx) error {
			rows, err := tx.Select(fleet.Memberships, nil)
			if len(rows) != 1 || rows[0]["groupId"] != "all" {
				t.Errorf("left are %v, want the membership in the other group", rows)
			}
			return err
		})
	})
}

func TestPatch_KeepsTheType(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		depot := bench.Sample(fleet.Hosts)[1]
		update(t, s, here, func(tx *store.Tx) error { return tx.Put(fleet.Hosts, depot) })
		for typ, want := range map[any]fleet.Code{nil: "", fleet.OpsiClient: fleet.Conflict} {
			err := s.Update(t.Context(), here, func(tx *store.Tx) error {
				return tx.Patch(fleet.Hosts, fleet.Row{"type": typ, "id": depot["id"], "notes": "n"})
			})
			if fleet.CodeOf(err) != want {
				t.Errorf("type %v: %v", typ, err)
			}
		}
		view(t, s, func(tx *store.Tx) error {
			got, err := tx.Get(fleet.Hosts, fleet.Row{"id": depot["id"]})
			if got["type"] != fleet.OpsiDepotserver || got["notes"] != "n" {
				t.Errorf("it is now %v", got)
			}
			return err
		})
	})
}
