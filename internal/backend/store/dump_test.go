package store_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/backend/store/dump"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// filled is a store with rows of several kinds, and a journal.
func filled(t *testing.T, s *store.Store) {
	t.Helper()
	for i := range 20 {
		update(t, s, here, func(tx *store.Tx) error {
			id := fmt.Sprintf("pc%d.example.org", i)
			if err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": id, "description": "ä\n\"<&>\x7f" + strings.Repeat("x", i*100)}); err != nil {
				return err
			}
			return tx.Put(fleet.Configs, fleet.Row{"type": "UnicodeConfig", "id": fmt.Sprintf("c%d", i), "defaultValues": []any{"a", "b"}, "possibleValues": []any{"a", "b", "c"}, "multiValue": true})
		})
	}
	update(t, s, here, func(tx *store.Tx) error {
		_, err := tx.Delete(fleet.Hosts, fleet.Filter{"id": "pc3.example.org"})
		return err
	})
}

// dumped is a dump without the line that names the history.
func dumped(t *testing.T, db database) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := dump.Write(t.Context(), db.conn(), &out); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(out.String(), "\n")
	lines := strings.Split(rest, "\n")
	// Rows of a table come in any order.
	begin := 0
	for i, l := range lines {
		if strings.HasPrefix(l, "{") {
			slices.Sort(lines[begin:i])
			begin = i + 1
		}
	}
	return strings.Join(lines, "\n")
}

// What one engine dumps, each engine loads: every row, and the journal. The
// history has another name, so that no position of before is known.
func TestDump_BetweenEngines(t *testing.T) {
	for _, from := range engines {
		for _, to := range engines {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				source := database{t, from.fresh(t)}
				s := source.store()
				filled(t, s)
				var out bytes.Buffer
				pos, err := dump.Write(t.Context(), source.conn(), &out)
				if err != nil || store.Position(pos) != position(t, s) {
					t.Fatalf("%v, %v", pos, err)
				}
				target := database{t, to.fresh(t)}
				loaded := target.store()
				if used, err := loaded.Used(t.Context()); used || err != nil {
					t.Errorf("an empty one is used: %v", err)
				}
				put(t, loaded, here, "former", "gone by then")
				if err := loaded.Load(t.Context(), bytes.NewReader(out.Bytes())); err != nil {
					t.Fatal(err)
				}
				if used, err := loaded.Used(t.Context()); !used || err != nil {
					t.Errorf("a filled one is not used: %v", err)
				}
				if d := cmp.Diff(dumped(t, source), dumped(t, target)); d != "" {
					t.Error(d)
				}
				if len(groups(t, loaded)) != 0 {
					t.Error("a former row is left")
				}
				if knows(t, loaded, store.Position(pos)) {
					t.Error("a position of the former history is known")
				}
				if got := put(t, loaded, here, "g", "after"); got.Revision != pos.Revision+1 || !knows(t, loaded, got) {
					t.Errorf("it goes on at %v after %v", got, pos)
				}
			})
		}
	}
}

// A dump that is cut, changed or of a newer program changes nothing.
func TestLoad_AllOrNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		filled(t, s)
		var out bytes.Buffer
		if _, err := dump.Write(t.Context(), db.conn(), &out); err != nil {
			t.Fatal(err)
		}
		before, pos := dumped(t, db), position(t, s)
		text := out.String()
		for name, bad := range map[string]string{
			"empty":          "",
			"no dump":        "hello\n",
			"cut":            text[:len(text)/2],
			"without an end": text[:strings.LastIndex(strings.TrimSpace(text), "\n")+1],
			"a row less":     strings.Replace(text, text[strings.Index(text, "\n["):strings.Index(text, "\n[")+1+strings.Index(text[strings.Index(text, "\n[")+1:], "\n")], "", 1),
			"a newer one":    strings.Replace(text, `{"dump":1`, `{"dump":99`, 1),
			"another table":  strings.Replace(text, `{"table":"host",`, `{"table":"spaceship",`, 1),
			"another column": strings.Replace(text, `"systemUUID"`, `"shoeSize"`, 1),
			"a fraction":     strings.Replace(text, "\n{\"table\":\"revision\"", "\n[1.5]\n{\"table\":\"revision\"", 1),
			"an object":      strings.Replace(text, "\n[", "\n[{},", 1),
		} {
			if bad == text {
				t.Fatalf("%s: it is not changed", name)
			}
			if err := s.Load(t.Context(), strings.NewReader(bad)); err == nil {
				t.Errorf("%s: it is loaded", name)
			}
			if position(t, s) != pos || dumped(t, db) != before {
				t.Fatalf("%s: something changed", name)
			}
		}
	})
}
