package chunkindex_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

func TestParseRanges(t *testing.T) {
	for _, text := range []string{"0", "7", "0-1", "0-11999,12005", "1,3,5-6"} {
		r, err := chunkindex.ParseRanges(text, 20000)
		if err != nil || r.String() != text {
			t.Errorf("%q: %v, %v", text, r, err)
		}
	}
	for _, text := range []string{
		"", ",", "1,", "-1", "1-", "1-1", "2-1", "01", "+1", " 1", "1 ", "1,2", "1-2,3", "1-3,2", "2,1", "0x1",
		"20000", "0-20000", "99999999999999999999", "1,1", "1--2", "1-2-3",
	} {
		if r, err := chunkindex.ParseRanges(text, 20000); err == nil {
			t.Errorf("%q was read as %v", text, r)
		}
	}
}

func TestRanges_HoldWhatWasAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfDistinct(rapid.IntRange(0, 300), rapid.ID).Draw(t, "ordinals")
		slices.Sort(set)
		var r chunkindex.Ranges
		for _, n := range set {
			r.Add(n)
		}
		if got := slices.Collect(r.All()); !slices.Equal(got, set) || r.Len() != len(set) {
			t.Fatalf("holds %v of %v", got, set)
		}
		if len(set) == 0 {
			return
		}
		back, err := chunkindex.ParseRanges(r.String(), 301)
		if err != nil || !slices.Equal(back, r) {
			t.Fatalf("%v came back as %v, %v", r, back, err)
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	f.Add(chunkindex.Request{Want: chunkindex.Ranges{{0, 12000}, {12005, 12006}}}.Text())
	f.Fuzz(func(t *testing.T, text string) {
		q, err := chunkindex.ReadRequest(strings.NewReader(text))
		if err == nil && q.Text() != text {
			t.Fatalf("%q prints back as %q", text, q.Text())
		}
	})
}
