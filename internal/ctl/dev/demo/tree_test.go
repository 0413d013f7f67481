package demo

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plant makes files of a folder; a value "-> x" is a link, "x: text" an executable.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(link, path)
		} else if _, executable := strings.CutPrefix(text, "x: "); executable {
			err = os.WriteFile(path, []byte(text), 0o755)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCompare(t *testing.T) {
	source := map[string]string{"a": "text", "b/c": "more", "b/run": "x: run", "link": "-> a"}
	with := func(name, text string) map[string]string {
		m := map[string]string{}
		for k, v := range source {
			m[k] = v
		}
		if m[name] = text; text == "" {
			delete(m, name)
		}
		return m
	}
	want := plant(t, source)
	files, size, err := compare(t.Context(), want, plant(t, source))
	if err != nil || files != 3 || size != 14 {
		t.Errorf("equal folders: %d files, %d bytes, %v", files, size, err)
	}
	for why, other := range map[string]map[string]string{
		"is not installed":                     with("b/c", ""),
		"SHA-256":                              with("b/c", "mork"),
		"bytes":                                with("b/c", "longer"),
		"executable in one":                    with("b/run", "y: run"),
		"the links differ":                     with("link", "-> b"),
		"is installed, but not in the source":  with("d", "new"),
		"a has 1 bytes (L---------), the sour": with("a", "-> b"),
	} {
		if _, _, err := compare(t.Context(), want, plant(t, other)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestCopyAndEdit(t *testing.T) {
	from := plant(t, map[string]string{"a": "1", "b": "2", "c/d": "x: 3", "c/e": "4", "f": "5", "g": "-> a", "h": "6"})
	one := &tree{id: "x", version: "1", dir: t.TempDir()}
	if err := copyTree(t.Context(), from, one.src()); err != nil {
		t.Fatal(err)
	}
	if files, _, err := compare(t.Context(), from, one.src()); err != nil || files != 6 {
		t.Fatalf("the copy: %d files, %v", files, err)
	}
	said, err := one.edit(t.Context())
	if err != nil || strings.Count(said, ",") != 2 {
		t.Fatalf("%q, %v", said, err)
	}
	if _, _, err := compare(t.Context(), from, one.src()); err == nil {
		t.Error("the edit changed nothing")
	}
	files, _, err := sizeOf(t.Context(), one.src())
	if err != nil || files != 6 { // one more, one less
		t.Errorf("%d files, %v", files, err)
	}
}

func TestReferenceWithoutPrograms(t *testing.T) {
	d := &demo{dir: t.TempDir(), trees: []*tree{{id: "x"}}}
	d.trees[0].dir = d.path("source", "x")
	if err := d.trees[0].write("control", strings.Repeat("the same again. ", 10_000)); err != nil {
		t.Fatal(err)
	}
	n, err := d.ownReference(t.Context())
	if err != nil || n < 50 || n > 2000 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{port: listener.Addr().String()}
	if err := d.refused(t.Context()); err == nil {
		t.Error("somebody answers, and it is not noticed")
	}
	listener.Close()
	if err := d.refused(t.Context()); err != nil {
		t.Error(err)
	}
}
