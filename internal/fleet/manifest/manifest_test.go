package manifest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

func file(path, content string) manifest.Entry {
	return manifest.Entry{Path: path, Type: manifest.File, Size: int64(len(content)), Sum: sha256.Sum256([]byte(content))}
}

func dir(path string) manifest.Entry { return manifest.Entry{Path: path, Type: manifest.Dir} }

func link(path, target string) manifest.Entry {
	return manifest.Entry{Path: path, Type: manifest.Link, Target: target}
}

const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

const goldenText = `fernwerk manifest 1
f 5 ` + hello + ` "bell\u0007\u0085"
d "bin"
f 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 "bin/it's \"new\""
l "bin/up" "../größe %20#?"
x 5 ` + hello + ` "bin/x"
d "größe %20#?"
`

func golden(t *testing.T) *manifest.Manifest {
	t.Helper()
	x := file("bin/x", "hello")
	x.Type = manifest.Exec
	m, err := manifest.New([]manifest.Entry{
		x, link("bin/up", "../größe %20#?"), file(`bin/it's "new"`, ""), dir("bin"), file("bell\a\u0085", "hello"), dir("größe %20#?"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestText_Golden(t *testing.T) {
	want := goldenText
	m := golden(t)
	if diff := cmp.Diff(want, string(m.Text())); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	back, err := manifest.Parse(strings.NewReader(want), manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	if got, want := m.Digest(), sha256.Sum256([]byte(want)); got != want {
		t.Errorf("digest is %x, want the text's %x", got, want)
	}
	if m.Size() != 10 || m.Files() != 3 {
		t.Errorf("size %d and files %d, want 10 and 3", m.Size(), m.Files())
	}
	if e, ok := m.Find("bin/x"); !ok || e.Type != manifest.Exec {
		t.Errorf("Find(bin/x) = %v, %v", e, ok)
	}
	if _, ok := m.Find("bin/y"); ok {
		t.Error("Find found what is not there")
	}
}

func TestParse_Refuses(t *testing.T) {
	const h = "fernwerk manifest 1\n"
	tests := []struct {
		name, text string
		line       int
		want       string
	}{
		{"empty", "", 1, "the text is empty"},
		{"another version", "fernwerk manifest 2\n", 1, "the first line must be"},
		{"no line end", h + `d "a"`, 2, "the line end is missing"},
		{"CR LF", h + "d \"a\"\r\n", 2, "CR LF"},
		{"CR LF header", "fernwerk manifest 1\r\n", 1, "CR LF"},
		{"blank line", h + "\n", 2, "type letter"},
		{"leading blank", h + " d \"a\"\n", 2, "type letter"},
		{"two blanks", h + "d  \"a\"\n", 2, "double quotes"},
		{"trailing blank", h + "d \"a\" \n", 2, "unexpected text"},
		{"unknown type", h + "p \"a\"\n", 2, "unknown type letter"},
		{"no sum", h + "f 1 \"a\"\n", 2, "SHA-256"},
		{"upper-case sum", h + "f 5 " + strings.ToUpper(hello) + " \"a\"\n", 2, "SHA-256"},
		{"leading zero", h + "f 05 " + hello + " \"a\"\n", 2, "leading zeros"},
		{"plus sign", h + "f +5 " + hello + " \"a\"\n", 2, "leading zeros"},
		{"negative size", h + "f -5 " + hello + " \"a\"\n", 2, "leading zeros"},
		{"huge size", h + "f 9223372036854775808 " + hello + " \"a\"\n", 2, "size"},
		{"sizes overflow", h + "f 9223372036854775807 " + hello + " \"a\"\nf 1 " + hello + " \"b\"\n", 3, "too large"},
		{"single quotes", h + "d 'a'\n", 2, "double quotes"},
		{"open quote", h + "d \"a\n", 2, "closing quote"},
		{"needless escape", h + "d \"\\u0061\"\n", 2, "unknown escape"},
		{"upper-case escape", h + "d \"\\u001F\"\n", 2, "unknown escape"},
		{"raw control character", h + "d \"a\x07\"\n", 2, "must be escaped"},
		{"short escape", h + "d \"\\n\"\n", 2, "unknown escape"},
		{"invalid UTF-8", h + "d \"a\xff\"\n", 2, "not valid UTF-8"},
		{"NUL", h + "d \"a\\u0000\"\n", 2, "NUL"},
		{"backslash", h + "d \"a\\\\b\"\n", 2, "backslash"},
		{"climbing path", h + "d \"..\"\n", 2, `it holds ".."`},
		{"absolute path", h + "d \"/a\"\n", 2, "absolute"},
		{"wrong order", h + "d \"b\"\nd \"a\"\n", 3, "must stand before"},
		{"twice", h + "d \"a\"\nd \"a\"\n", 3, "twice"},
		{"no folder", h + "d \"a/b\"\n", 2, "no entry for its folder"},
		{"below a file", h + "f 5 " + hello + " \"a\"\nd \"a/b\"\n", 3, "which is a file"},
		{"below a link", h + "d \"a\"\nl \"b\" \"a\"\nd \"b/c\"\n", 4, "which is a link"},
		{"no target", h + "l \"b\"\n", 2, "target"},
		{"empty target", h + "l \"b\" \"\"\n", 2, "empty"},
		{"escaping link", h + "l \"b\" \"../c\"\n", 2, "out of the tree"},
		{"too many entries", h + "d \"a\"\nd \"b\"\nd \"c\"\nd \"d\"\n", 5, "more than 3 entries"},
		{"long path", h + "d \"" + strings.Repeat("a", 101) + "\"\n", 2, "longer than 100 bytes"},
		{"long text", h + "d \"a\"\n" + strings.Repeat("x", 1000), 3, "longer than allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := manifest.Parse(strings.NewReader(tt.text), manifest.Limits{Bytes: 1000, Entries: 3, Path: 100})
			syntax, ok := errors.AsType[*manifest.SyntaxError](err)
			if !ok {
				t.Fatalf("error %v, want a SyntaxError", err)
			}
			if syntax.Line != tt.line || !strings.Contains(syntax.Error(), tt.want) {
				t.Errorf("error %q, want line %d and %q", err, tt.line, tt.want)
			}
		})
	}
}

func TestNew_Refuses(t *testing.T) {
	withSize := dir("a")
	withSize.Size = 1
	withTarget := file("a", "")
	withTarget.Target = "b"
	for name, e := range map[string]manifest.Entry{
		"folder with a size":   withSize,
		"file with a target":   withTarget,
		"negative size":        {Path: "a", Type: manifest.File, Size: -1},
		"type of no entry":     {Path: "a"},
		"path leaves the tree": dir("a/../../b"),
	} {
		if _, err := manifest.New([]manifest.Entry{e}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestCompare(t *testing.T) {
	must := func(entries ...manifest.Entry) *manifest.Manifest {
		m, err := manifest.New(entries)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	before := must(dir("a"), file("a/same", "1"), file("a/was", "2"), file("b", "3"), file("z", "old"))
	after := must(dir("a"), file("a/new", "4"), file("a/same", "1"), dir("b"), file("z", "new"))
	got := manifest.Compare(before, after)
	want := manifest.Diff{
		Added:   []manifest.Entry{file("a/new", "4")},
		Removed: []manifest.Entry{file("a/was", "2")},
		Changed: []manifest.Change{{file("b", "3"), dir("b")}, {file("z", "old"), file("z", "new")}},
		Same:    []manifest.Entry{dir("a"), file("a/same", "1")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if p, ok := got.First(); p != "a/new" || !ok || got.Equal() {
		t.Errorf("First() = %q, %v; Equal() = %v", p, ok, got.Equal())
	}
	none := manifest.Compare(before, before)
	if p, ok := none.First(); ok || !none.Equal() {
		t.Errorf("a tree differs from itself at %q", p)
	}
}

// anyManifest draws a closed tree with names that no one would choose.
func anyManifest() *rapid.Generator[*manifest.Manifest] {
	name := rapid.StringMatching(`[a-cA-C' "%#?ü\x07\x{85}é~-]{1,6}`).Filter(func(s string) bool { return s != "." && s != ".." })
	return rapid.Custom(func(t *rapid.T) *manifest.Manifest {
		have := map[string]bool{}
		dirs := []string{""}
		var entries []manifest.Entry
		for range rapid.IntRange(0, 20).Draw(t, "entries") {
			p := path.Join(rapid.SampledFrom(dirs).Draw(t, "in"), name.Draw(t, "name"))
			if have[p] {
				continue
			}
			have[p] = true
			switch rapid.IntRange(0, 3).Draw(t, "type") {
			case 0:
				dirs = append(dirs, p)
				entries = append(entries, dir(p))
			case 1:
				up := strings.Repeat("../", strings.Count(p, "/"))
				entries = append(entries, link(p, up+name.Draw(t, "target")))
			case 2:
				entries = append(entries, file(p, rapid.String().Draw(t, "content")))
			default:
				e := file(p, "x")
				e.Type = manifest.Exec
				entries = append(entries, e)
			}
		}
		m, err := manifest.New(entries)
		if err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func TestText_ParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyManifest().Draw(t, "tree")
		var b strings.Builder
		n, err := m.WriteTo(&b)
		if err != nil || n != int64(b.Len()) {
			t.Fatalf("wrote %d of %d bytes: %v", n, b.Len(), err)
		}
		back, err := manifest.Parse(strings.NewReader(b.String()), manifest.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if d := manifest.Compare(m, back); !d.Equal() {
			t.Fatalf("lost on the way: %+v", d)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goldenText))
	f.Add([]byte("fernwerk manifest 1\n"))
	f.Add([]byte("fernwerk manifest 1\nd \"a\"\nf 5 " + hello + " \"a/\\u001f\"\nl \"b\" \"a/c\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := manifest.Parse(strings.NewReader(string(data)), manifest.Limits{})
		if err != nil {
			return
		}
		if got := m.Text(); string(got) != string(data) {
			t.Fatalf("parsed %q\nprints %q", data, got)
		}
		if _, err := manifest.New(m.Entries); err != nil {
			t.Fatalf("parsed, but New refuses it: %v", err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var entries []manifest.Entry
	for i := range 10_000 {
		if i%100 == 0 {
			entries = append(entries, dir(fmt.Sprintf("dir%02d", i/100)))
		}
		entries = append(entries, file(fmt.Sprintf("dir%02d/file%05d", i/100, i), hex.EncodeToString([]byte{byte(i)})))
	}
	m, err := manifest.New(entries)
	if err != nil {
		b.Fatal(err)
	}
	text := string(m.Text())
	for b.Loop() {
		if _, err := manifest.Parse(strings.NewReader(text), manifest.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
