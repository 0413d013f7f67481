package chunkindex_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

func linked(t *testing.T, entries ...manifest.Entry) *chunkindex.Index {
	t.Helper()
	for i, e := range entries {
		if e.Type.Regular() {
			c := chunk(e.Path, 10)
			entries[i].Size, entries[i].Sum = int64(c.Size), c.Sum
		}
	}
	m, err := manifest.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	x, err := chunkindex.New(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func entry(typ manifest.Type, path string, target ...string) manifest.Entry {
	e := manifest.Entry{Type: typ, Path: path}
	for _, to := range target {
		e.Target = to
	}
	return e
}

func TestWithoutLinks(t *testing.T) {
	x := linked(t,
		entry(manifest.Link, "0", "z/file"), // before its target
		entry(manifest.Dir, "d"), entry(manifest.Dir, "d/sub"), entry(manifest.Exec, "d/sub/x"), entry(manifest.File, "d.b"),
		entry(manifest.Link, "d/up", "../z/file"),
		entry(manifest.Link, "dangling", "nothing"),
		entry(manifest.Link, "e", "d"),       // a folder, with a link in it
		entry(manifest.Link, "f", "e/sub/x"), // through a link
		entry(manifest.Link, "g", "f"),       // a link to a link
		entry(manifest.Dir, "z"), entry(manifest.File, "z/file"),
	)
	got, err := x.WithoutLinks(100)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, e := range got.Tree.Entries {
		line := fmt.Sprintf("%c %s", e.Type, e.Path)
		for _, n := range got.Of(i) {
			if got.Chunks[n].Sum != e.Sum {
				t.Errorf("%s has a foreign chunk", e.Path)
			}
			line += fmt.Sprintf(" %d", n)
		}
		lines = append(lines, line)
	}
	want := []string{"f 0 2", "d d", "f d.b 0", "d d/sub", "x d/sub/x 1", "f d/up 2",
		"d e", "d e/sub", "x e/sub/x 1", "f e/up 2", "x f 1", "x g 1", "d z", "f z/file 2"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(x.Chunks, got.Chunks); diff != "" {
		t.Errorf("the chunks changed: %s", diff)
	}
	if plain := linked(t, entry(manifest.File, "a")); true {
		if same, err := plain.WithoutLinks(0); err != nil || same != plain {
			t.Errorf("a tree without links became %v, %v", same, err)
		}
	}
}

func TestWithoutLinks_Refuses(t *testing.T) {
	doubling := []manifest.Entry{entry(manifest.Dir, "a00"), entry(manifest.File, "a00/f")}
	for i := 1; i < 20; i++ {
		d := fmt.Sprintf("a%02d", i)
		doubling = append(doubling, entry(manifest.Dir, d),
			entry(manifest.Link, d+"/l", fmt.Sprintf("../a%02d", i-1)), entry(manifest.Link, d+"/r", fmt.Sprintf("../a%02d", i-1)))
	}
	tests := map[string][]manifest.Entry{
		"its own folder": {entry(manifest.Dir, "a"), entry(manifest.Link, "a/l", ".")},
		"the base":       {entry(manifest.Link, "l", ".")},
		"itself":         {entry(manifest.Link, "l", "l")},
		"each other":     {entry(manifest.Link, "l", "m"), entry(manifest.Link, "m", "l")},
		"each other's folders": {
			entry(manifest.Dir, "a"), entry(manifest.Dir, "b"), entry(manifest.Link, "0", "a"),
			entry(manifest.Link, "a/l", "../b"), entry(manifest.Link, "b/l", "../a"),
		},
		"doubling": doubling,
	}
	for name, entries := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := linked(t, entries...).WithoutLinks(10000); err == nil {
				t.Errorf("%d entries", len(got.Tree.Entries))
			} else {
				t.Log(err)
			}
		})
	}
}
