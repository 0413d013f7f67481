package store_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Odd has a column of each kind and no syntax: any text may stand in it.
type Odd struct {
	ID     string `col:"id,ident"`
	Text   string `col:"text"`
	Lower  string `col:"lower,lower"`
	Flag   bool   `col:"flag"`
	Number int64  `col:"number"`
	When   string `col:"when,time"`
	List   []any  `col:"list"`
}

var odds = fleet.LocalClass[Odd]("odd")

// piece is what texts and patterns are made of: whatever means something to
// LIKE, GLOB, SQL, JSON or the key, and letters whose case could be ignored.
var piece = rapid.SampledFrom([]string{"", "a", "A", "b", "ä", "Ä", "ß", "%", "_", "[", "]", "^", "?", `\`, `'`, `"`, ";", "$1", "\n", " ", "x"})

func drawText(t *rapid.T, label string) string {
	var s string
	for _, p := range rapid.SliceOfN(piece, 0, 4).Draw(t, label) {
		s += p
	}
	return s
}

func drawScalar(t *rapid.T, label string) any {
	switch rapid.IntRange(0, 5).Draw(t, label+" kind") {
	case 0:
		return rapid.Bool().Draw(t, label)
	case 1:
		return rapid.SampledFrom([]int64{0, 1, -1, 1 << 62}).Draw(t, label)
	case 2:
		return rapid.SampledFrom([]string{"true", "1", "0", "b:true", "s:"}).Draw(t, label)
	}
	return drawText(t, label)
}

func drawOdd(t *rapid.T, n int) fleet.Row {
	r := fleet.Row{"id": fmt.Sprintf("%s%d", drawText(t, "id"), n)}
	none := func() bool { return rapid.IntRange(0, 4).Draw(t, "none") == 0 }
	for _, name := range []string{"text", "lower", "when"} {
		if r[name] = drawText(t, name); none() {
			r[name] = nil
		}
	}
	if !none() {
		r["flag"] = rapid.Bool().Draw(t, "flag")
	}
	if !none() {
		r["number"] = rapid.SampledFrom([]int64{0, 1, -1, 1 << 62}).Draw(t, "number")
	}
	var list []any
	for range rapid.IntRange(0, 3).Draw(t, "elements") {
		list = append(list, drawScalar(t, "element"))
	}
	r["list"] = list
	return r
}

// drawAsked is a filter's value for a column: often one that a row has, a
// pattern of one, or none.
func drawAsked(t *rapid.T, col *fleet.Column, rows []fleet.Row) any {
	one := func() any {
		r := rapid.SampledFrom(rows).Draw(t, "row")
		v := r[col.Name]
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = rapid.SampledFrom(list).Draw(t, "element")
		} else if ok {
			v = nil
		}
		switch rapid.IntRange(0, 4).Draw(t, "asked") {
		case 0:
			return rapid.SampledFrom([]any{nil, ""}).Draw(t, "no value")
		case 1, 2:
			if s, ok := v.(string); ok {
				runes := []rune(s)
				i := rapid.IntRange(0, len(runes)).Draw(t, "from")
				j := rapid.IntRange(i, len(runes)).Draw(t, "to")
				return rapid.SampledFrom([]string{"*", string(runes[:i]) + "*" + string(runes[j:]), "*" + string(runes[i:j]) + "*", string(runes[i:j]) + "*", "**" + string(runes[i:])}).Draw(t, "pattern")
			}
		case 3:
			switch col.Kind {
			case fleet.Bool:
				return rapid.SampledFrom([]any{true, "no", int64(1)}).Draw(t, "value")
			case fleet.Int:
				return rapid.SampledFrom([]any{int64(0), "1", float64(-1)}).Draw(t, "value")
			case fleet.List:
				return drawScalar(t, "value")
			}
			return drawText(t, "value")
		}
		return v
	}
	if rapid.Bool().Draw(t, "several") {
		return []any{one(), one()}
	}
	return one()
}

func TestSelect_FiltersMeanTheSameAsMatches(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store(odds)
		found := 0
		rapid.Check(t, func(rt *rapid.T) {
			var rows []fleet.Row
			for n := range rapid.IntRange(1, 8).Draw(rt, "rows") {
				rows = append(rows, drawOdd(rt, n))
			}
			var filters []fleet.Filter
			for range 6 {
				f := fleet.Filter{}
				for range rapid.IntRange(1, 2).Draw(rt, "terms") {
					col := rapid.SampledFrom(odds.ColumnNames("")).Draw(rt, "column")
					f[col] = drawAsked(rt, odds.Column(col), rows)
				}
				filters = append(filters, f)
			}
			update(t, s, here, func(tx *store.Tx) error {
				if _, err := tx.Delete(odds, nil); err != nil {
					return err
				}
				for _, r := range rows {
					if err := tx.Put(odds, r); err != nil {
						return err
					}
				}
				return nil
			})
			var all []fleet.Row
			got := make([][]fleet.Row, len(filters))
			view(t, s, func(tx *store.Tx) (err error) {
				if all, err = tx.Select(odds, nil); err != nil {
					return err
				}
				for i, f := range filters {
					if got[i], err = tx.Select(odds, f); err != nil {
						return fmt.Errorf("filter %#v: %w", f, err)
					}
				}
				return nil
			})
			if len(all) != len(rows) || !slices.IsSortedFunc(all, func(a, b fleet.Row) int { return cmpKeys(a, b) }) {
				rt.Fatalf("all rows are %v, want %d by key", all, len(rows))
			}
			for i, f := range filters {
				terms, err := odds.Terms(f)
				if err != nil {
					rt.Fatal(err)
				}
				var want []fleet.Row
				for _, r := range all {
					if odds.Matches(r, terms) {
						want = append(want, r)
					}
				}
				found += len(want)
				if d := cmp.Diff(want, got[i]); d != "" {
					rt.Fatalf("filter %#v (-matches +selected):\n%s", f, d)
				}
			}
		})
		if found == 0 {
			t.Error("no filter found anything")
		}
	})
}

func cmpKeys(a, b fleet.Row) int {
	ka, kb := odds.Key(a), odds.Key(b)
	switch {
	case ka < kb:
		return -1
	case ka > kb:
		return 1
	}
	return 0
}

func TestSelect_TypesAndFurtherFields(t *testing.T) {
	onEngines(t, func(t *testing.T, db database) {
		s := db.store()
		update(t, s, here, putSamples)
		for _, tt := range []struct {
			class *fleet.Class
			f     fleet.Filter
			want  int
		}{
			{fleet.Hosts, fleet.Filter{"type": "OpsiClient"}, 1},
			{fleet.Hosts, fleet.Filter{"type": "Opsi*server"}, 2},
			{fleet.Hosts, fleet.Filter{"type": []any{"OpsiClient", "*Depot*"}}, 2},
			{fleet.Hosts, fleet.Filter{"type": "%client"}, 0},
			{fleet.Groups, fleet.Filter{"type": "*"}, 2},
			{fleet.AuditHardwareOnHosts, fleet.Filter{"serialNumber": "1;*"}, 1},
			{fleet.AuditHardwareOnHosts, fleet.Filter{"serialNumber": nil}, 1},
			{fleet.AuditHardwareOnHosts, fleet.Filter{"capacity": int64(8589934592), "hostId": "pc1*"}, 1},
			{fleet.AuditHardwareOnHosts, fleet.Filter{"capacity": "8589934592"}, 0},
		} {
			view(t, s, func(tx *store.Tx) error {
				rows, err := tx.Select(tt.class, tt.f)
				if len(rows) != tt.want {
					t.Errorf("%s %v finds %d, want %d", tt.class.Name, tt.f, len(rows), tt.want)
				}
				return err
			})
		}
	})
}
