package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun_RefusesWhatIsNotThere(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"later":    {[]string{"-suite", "agent"}, "suite agent comes with a later issue"},
		"no suite": {[]string{"-suite", "cashe"}, `there is no suite "cashe"`},
		"argument": {[]string{"cache"}, `unexpected argument "cache"`},
	} {
		t.Run(name, func(t *testing.T) {
			code, err := run(t.Context(), c.args, &bytes.Buffer{})
			if code != 2 || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("status %d, %v", code, err)
			}
		})
	}
}

func TestFigures(t *testing.T) {
	var out bytes.Buffer
	b := &bench{out: &out}
	b.less("cache", "time", "s", 8, "slow", 16, 1)
	b.more("cache", "goodput", "", 0.5, "fast", 1, 0.9)
	b.less("cache", "bytes", "bytes", 3, "other", 1, 0)
	b.without("rsync", errors.New("not here"))
	want := []figure{
		{"cache", "time", "s", 8, "slow", 16, 2, 1, true},
		{"cache", "goodput", "", 0.5, "fast", 1, 0.5, 0.9, false},
		{"cache", "bytes", "bytes", 3, "other", 1, 0.333, 0, true},
	}
	if diff := cmp.Diff(want, b.figures); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	out.Reset()
	b.table()
	for _, word := range []string{"MISSED", "LEFT OUT: rsync: not here"} {
		if strings.Count(out.String(), word) != 1 {
			t.Errorf("the table does not say %q once:\n%s", word, out.String())
		}
	}
}

// What go test says is real.
func TestAttributes(t *testing.T) {
	const events = `{"Time":"2026-11-29T20:00:00Z","Action":"run","Package":"p","Test":"TestPace"}
{"Action":"output","Package":"p","Test":"TestPace","Output":"=== ATTR  TestPace answers 12145.49\n"}
{"Action":"attr","Package":"p","Test":"TestPace","Key":"answers","Value":"12145.49"}
{"Action":"attr","Package":"p","Test":"TestPace","Key":"rtt","Value":"0.5 ms"}
{"Action":"attr","Package":"p","Test":"TestOther","Key":"answers","Value":"1"}
{"Action":"pass","Package":"p","Test":"TestPace","Elapsed":0.5}
`
	is, said, err := attributes(bufio.NewScanner(strings.NewReader(events)), "TestPace")
	if diff := cmp.Diff(map[string]float64{"answers": 12145.49, "rtt": 0.5}, is); diff != "" || err != nil || !strings.Contains(said, "=== ATTR") {
		t.Errorf("%v, %q: -want +got:\n%s", err, said, diff)
	}
	if _, _, err := attributes(bufio.NewScanner(strings.NewReader(strings.ReplaceAll(events, "0.5 ms", "fast"))), "TestPace"); err == nil {
		t.Error("an attribute that is no figure is taken")
	}
}

func TestTree_SameSeesADifference(t *testing.T) {
	b := &bench{scratch: t.TempDir(), source: t.TempDir()}
	if err := os.WriteFile(filepath.Join(b.source, "file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := b.copyTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.CopyFS(other, os.DirFS(tree.Content())); err != nil {
		t.Fatal(err)
	}
	if err := tree.Same(other); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(filepath.Join(other, "src", "file"), []byte("Content"), 0o644) },
		func() error { return os.Remove(filepath.Join(other, "src", "file")) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if tree.Same(other) == nil {
			t.Error("not noticed")
		}
	}
}
