package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Note is bookkeeping of an older program, LaterNote of a newer one.
type (
	Note struct {
		ID   string `col:"id,ident"`
		Text string `col:"text"`
	}
	LaterNote struct {
		ID    string   `col:"id,ident"`
		Text  string   `col:"text"`
		Words []string `col:"words"`
		Mood  string   `col:"mood,default=it's fine"`
		Open  bool     `col:"open,default=true"`
		Count int64    `col:"count"`
	}
	Extra struct {
		ID string `col:"id,ident"`
	}
)

var (
	notes      = fleet.LocalClass[Note]("note")
	laterNotes = fleet.LocalClass[LaterNote]("note")
	extras     = fleet.LocalClass[Extra]("extraClass")
)

// What belongs to a host is found by an index that has it sorted; a database of
// before, whose index had not, gets the new one in its place.
func TestOpen_OwnerIndexIsSorted(t *testing.T) {
	db := database{t, engines[0].fresh(t)}
	db.store()
	conn := db.conn()
	for _, stmt := range []string{`DROP INDEX "productOnClient_clientId_key"`, `CREATE INDEX "productOnClient_clientId" ON "productOnClient" ("clientId")`} {
		if _, err := conn.Write.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	db.store()
	rows, err := conn.Read.Query(`EXPLAIN QUERY PLAN SELECT "actionRequest" FROM "productOnClient" WHERE "clientId" = ? ORDER BY "key"`, "pc1.example.org")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, step)
	}
	if len(plan) != 1 || !strings.Contains(plan[0], "productOnClient_clientId_key") {
		t.Errorf("the plan is %q, %v", plan, rows.Err())
	}
	var old int
	if err := conn.Read.QueryRow(`SELECT count(*) FROM "sqlite_master" WHERE "name" = 'productOnClient_clientId'`).Scan(&old); err != nil || old != 0 {
		t.Errorf("%d indexes of before, %v", old, err)
	}
}

func TestOpen_NewColumnsAndClassesKeepTheData(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		older := db.store(notes)
		pos := put(t, older, here, "g", "kept")
		write := func(id string) {
			update(t, older, here, func(tx *store.Tx) error { return tx.Put(notes, fleet.Row{"id": id, "text": "kept"}) })
		}
		write("n1")

		newer := db.store(laterNotes, extras)
		if got := groups(t, newer)["g"]; got != "kept" || position(t, newer) != pos {
			t.Errorf("the group is %q at %v, want it at %v", got, position(t, newer), pos)
		}
		write("n2") // by the older program, which does not know the columns
		want := fleet.Row{"id": "n1", "text": "kept", "words": []any{}, "mood": "it's fine", "open": true, "count": nil}
		check := func(f fleet.Filter) {
			t.Helper()
			view(t, newer, func(tx *store.Tx) error {
				rows, err := tx.Select(laterNotes, f)
				if len(rows) != 2 {
					t.Errorf("%v finds %d of the older program's rows, want 2", f, len(rows))
					return err
				}
				if d := cmp.Diff(want, rows[0]); d != "" {
					t.Errorf("a row of the older program (-want +got):\n%s", d)
				}
				return err
			})
		}
		check(nil)
		check(fleet.Filter{"words": nil, "open": true, "count": nil, "mood": "it's*"})
		update(t, newer, here, func(tx *store.Tx) error { return tx.Put(extras, fleet.Row{"id": "e"}) })
		older = db.store(notes) // the older program again
		write("n1")
		check(nil)
	})
}

func TestOpen_NewerFormatIsRefused(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		put(t, db.store(), here, "g", "kept")
		conn := db.conn()
		if _, err := conn.Write.Exec(`UPDATE "head" SET "format" = "format" + 1`); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(t.Context(), conn, newClock().now, extras)
		if fleet.CodeOf(err) != fleet.Invalid || !strings.Contains(fleet.HintOf(err), "newer version") {
			t.Errorf("got %v (%s), hint %q", err, fleet.CodeOf(err), fleet.HintOf(err))
		}
		if _, err := conn.Write.Exec(`SELECT * FROM "extraClass"`); err == nil {
			t.Error("the refused database was changed")
		}
	})
}

// Two programs on one PostgreSQL database stand for two servers side by side;
// on SQLite for a command run beside the server.
func TestUpdate_TwoProgramsOnOneDatabase(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		const each, writers = 20, 4
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen := map[int64]store.Position{}
		var last *store.Store
		for p := range 2 {
			s := db.store(odds)
			last = s
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						pos, err := s.UpdateAt(context.Background(), here, func(tx *store.Tx) error {
							r, err := tx.ByKey(odds, "counter")
							if err != nil {
								return err
							}
							n, _ := r["number"].(int64)
							if err := tx.Put(odds, fleet.Row{"id": "counter", "number": n + 1}); err != nil {
								return err
							}
							return putGroup(tx, fmt.Sprintf("g%d-%d-%d", p, w, i), "")
						})
						if err != nil {
							t.Error(err)
						}
						mu.Lock()
						if other, twice := seen[pos.Revision]; twice {
							t.Errorf("two changes at one revision: %v, %v", other, pos)
						}
						seen[pos.Revision] = pos
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		const all = 2 * writers * each
		for n := int64(1); n <= all; n++ {
			if pos, ok := seen[n]; !ok || !knows(t, last, pos) {
				t.Errorf("nobody wrote revision %d", n)
			}
		}
		view(t, last, func(tx *store.Tx) error {
			r, err := tx.ByKey(odds, "counter")
			if r["number"] != int64(all) {
				t.Errorf("%d increments counted %v", all, r["number"])
			}
			changes, err2 := tx.Journal(0, "", 0)
			if err == nil {
				err = err2
			}
			for i, ch := range changes {
				if ch.Revision != int64(i+1) {
					t.Fatalf("change %d is at revision %d", i, ch.Revision)
				}
			}
			if pos, _ := tx.Position(); len(changes) != all || pos.Revision != all {
				t.Errorf("%d changes in the journal, at %v", len(changes), pos)
			}
			return err
		})
	})
}
