package merge_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/merge"
)

// samples are valid texts for each named syntax.
var samples = map[string][]string{
	"host": {"pc1.example.org", "pc2.example.org"}, "object": {"firefox"}, "product": {"firefox", "vim"},
	"version": {"1", "2"}, "package": {"1", "2"}, "config": {"a.b"}, "property": {"lang"}, "group": {"g"},
	"license": {"l1"}, "mac": {"aa:bb:cc:dd:ee:ff"}, "hostkey": {"0123456789abcdef0123456789abcdef"}, "ip": {"10.0.0.1"},
	"network": {"10.0.0.0/8"}, "user": {"ann"}, "uuid": {"00000000-0000-0000-0000-000000000001"}, "nodetype": {"vnode"}, "hwclass": {"CPU"},
	"url": {"https://a.b.c"}, "scriptname": {"setup.sh", "other.sh"},
}

func drawValue(t *rapid.T, col *fleet.Column) any {
	switch col.Kind {
	case fleet.Bool:
		return rapid.Bool().Draw(t, col.Name)
	case fleet.Int:
		return rapid.Int64Range(0, 2).Draw(t, col.Name)
	case fleet.List:
		return rapid.SliceOfN(rapid.SampledFrom([]any{"x", "y", true, int64(1)}), 0, 3).Draw(t, col.Name)
	case fleet.Time:
		return rapid.SampledFrom([]any{nil, "2026-01-02 03:04:05", "2026-01-02 03:04:06"}).Draw(t, col.Name)
	}
	choice := []string{"x", "y"}
	if len(col.Allowed) > 0 {
		choice = col.Allowed
	} else if col.Valid != "" {
		choice = samples[col.Valid]
	}
	if !col.Ident {
		choice = append([]string{""}, choice...)
	}
	return rapid.SampledFrom(choice).Draw(t, col.Name)
}

// scene is three rows of one identity, of which any may be missing.
type scene struct {
	class              *fleet.Class
	base, mine, theirs fleet.Row
	moved              bool
}

func drawScene(t *rapid.T, c *fleet.Class) scene {
	ident := fleet.Row{}
	if len(c.Types) > 0 {
		ident["type"] = rapid.SampledFrom(c.Types).Draw(t, "type")
	}
	for _, col := range c.Ident() {
		if col.Name != "type" {
			ident[col.Name] = drawValue(t, col)
		}
	}
	if c.Open {
		ident["serialNumber"] = "4711"
	}
	side := func(name string, near fleet.Row) fleet.Row {
		if rapid.IntRange(0, 4).Draw(t, name) == 0 {
			return nil
		}
		r := ident.Clone()
		for _, col := range c.Columns {
			if col.Ident || !col.Has(c.Type(ident)) {
				continue
			}
			if near != nil && rapid.Bool().Draw(t, "same "+col.Name) {
				r[col.Name] = near[col.Name]
			} else {
				r[col.Name] = drawValue(t, col)
			}
		}
		out, err := c.Check(r, fleet.Creating)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	s := scene{class: c, moved: rapid.Bool().Draw(t, "moved")}
	s.base = side("base", nil)
	s.mine, s.theirs = side("mine", s.base), side("theirs", s.base)
	if s.mine != nil && rapid.Bool().Draw(t, "partial") {
		for _, col := range c.Columns {
			if !col.Ident && rapid.Bool().Draw(t, "leave out "+col.Name) {
				delete(s.mine, col.Name)
			}
		}
	}
	return s
}

func (s scene) merge() merge.Decision {
	return merge.Merge(s.class, s.base, s.mine, s.theirs, s.moved)
}

// after is the server's row once the decision is carried out.
func after(s scene, d merge.Decision) fleet.Row {
	switch d.Op {
	case merge.Put:
		return d.Row
	case merge.Delete:
		return nil
	}
	return s.theirs
}

// equal treats no value, "" and the empty list as one, as filters do.
func equal(col *fleet.Column, a, b any) bool {
	norm := func(v any) any {
		if v == nil {
			v = col.Default
		}
		if list, ok := v.([]any); ok && len(list) == 0 || v == "" {
			return nil
		}
		return v
	}
	return cmp.Equal(norm(a), norm(b))
}

func forEveryClass(t *testing.T, check func(*rapid.T, scene)) {
	for _, c := range fleet.Classes() {
		t.Run(c.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { check(t, drawScene(t, c)) })
		})
	}
}

func TestMerge_Idempotent(t *testing.T) {
	forEveryClass(t, func(t *rapid.T, s scene) {
		first := s.merge()
		s.theirs = after(s, first)
		if second := s.merge(); second.Op != merge.Keep {
			t.Fatalf("first %+v\nthen %+v", first, second)
		}
	})
}

func TestMerge_ColumnOrderDoesNotMatter(t *testing.T) {
	forEveryClass(t, func(t *rapid.T, s scene) {
		want := s.merge()
		shuffled := *s.class
		shuffled.Columns = rapid.Permutation(s.class.Columns).Draw(t, "columns")
		s.class = &shuffled
		if diff := cmp.Diff(want, s.merge()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestMerge_NeverLosesALocalResult(t *testing.T) {
	forEveryClass(t, func(t *rapid.T, s scene) {
		if s.mine == nil || s.class == fleet.Hosts && s.theirs == nil {
			return // a deleted host has no results
		}
		row := after(s, s.merge())
		for _, col := range s.class.Columns {
			v, given := s.mine[col.Name]
			if col.Merge != fleet.MergeClient || col.Volatile || !given || s.base != nil && equal(col, v, s.base[col.Name]) {
				continue
			}
			if !equal(col, row[col.Name], v) {
				t.Fatalf("%s: the client's %v became %v", col.Name, v, row[col.Name])
			}
		}
	})
}

func TestMerge_NeverWritesWhatTheClientMayNotOwn(t *testing.T) {
	forEveryClass(t, func(t *rapid.T, s scene) {
		d := s.merge()
		if d.Op == merge.Delete {
			if s.theirs == nil || s.mine != nil || s.base == nil {
				t.Fatalf("delete without reason: %+v", d)
			}
			return
		}
		if d.Op != merge.Put {
			return
		}
		for _, col := range s.class.Columns {
			if col.Merge != fleet.MergeServer || col.Ident || !col.Has(s.class.Type(d.Row)) {
				continue
			}
			want := col.Default
			if s.theirs != nil {
				want = s.theirs[col.Name]
			}
			if !cmp.Equal(d.Row[col.Name], want) {
				t.Fatalf("%s: %v, want the server's %v", col.Name, d.Row[col.Name], want)
			}
		}
	})
}

func TestMerge_IdentityNeverChanges(t *testing.T) {
	forEveryClass(t, func(t *rapid.T, s scene) {
		d := s.merge()
		if d.Op != merge.Put {
			return
		}
		from := s.theirs
		if from == nil {
			from = s.mine
		}
		if s.class.Key(d.Row) != s.class.Key(from) || s.class.Type(d.Row) != s.class.Type(from) {
			t.Fatalf("identity %s became %s", s.class.IdentString(from), s.class.IdentString(d.Row))
		}
		if _, err := s.class.Check(d.Row, fleet.Creating); err != nil {
			t.Fatalf("the row cannot be stored: %v", err)
		}
	})
}

func TestMerge_EveryDecisionHasAReason(t *testing.T) {
	forEveryClass(t, func(t *rapid.T, s scene) {
		d := s.merge()
		if d.Reason == "" || slices.ContainsFunc(d.Columns, func(cd merge.ColumnDecision) bool { return cd.Reason == "" }) {
			t.Fatalf("no reason: %+v", d)
		}
		if d.Op == merge.Put && s.theirs != nil && !slices.ContainsFunc(d.Columns, func(cd merge.ColumnDecision) bool { return cd.Winner == merge.Client }) {
			t.Fatalf("a write that no column asked for: %+v", d)
		}
	})
}

func TestMerge_InputsStayAsTheyAre(t *testing.T) {
	forEveryClass(t, func(t *rapid.T, s scene) {
		base, mine, theirs := s.base.Clone(), s.mine.Clone(), s.theirs.Clone()
		s.merge()
		if diff := cmp.Diff([]fleet.Row{base, mine, theirs}, []fleet.Row{s.base, s.mine, s.theirs}); diff != "" {
			t.Fatal(diff)
		}
	})
}
