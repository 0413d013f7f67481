package manifest_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// The example of seed A, "Using the .files file for Synchronization".
const seedFiles = `d 'utils' 0
f 'utils/patch_config_file.py' 2506 d3007628addf6d9f688eb4c2e219dc18
l 'utils/link_to_patch_config_file.py' 0 '/utils/patch_config_file.py'`

func TestWriteFiles_SeedExample(t *testing.T) {
	patch := manifest.Entry{Path: "utils/patch_config_file.py", Type: manifest.Exec, Size: 2506}
	m, err := manifest.New([]manifest.Entry{dir("utils"), patch, link("utils/link_to_patch_config_file.py", "patch_config_file.py")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.FilesLines(nil); err == nil {
		t.Error("a file without an MD5 sum was listed")
	}
	var sum [md5.Size]byte
	if _, err := hex.Decode(sum[:], []byte("d3007628addf6d9f688eb4c2e219dc18")); err != nil {
		t.Fatal(err)
	}
	list, err := m.FilesLines(map[string][md5.Size]byte{patch.Path: sum})
	if err != nil {
		t.Fatal(err)
	}
	// The example is in an order of its own; a manifest's is bytewise.
	slices.SortFunc(list, func(a, b manifest.FilesLine) int { return strings.Compare(string(a.Type), string(b.Type)) })
	var b strings.Builder
	if err := manifest.WriteFiles(&b, list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(seedFiles, b.String()); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestParseFiles(t *testing.T) {
	const sum = "d3007628addf6d9f688eb4c2e219dc18"
	tests := []struct{ name, text, prints string }{
		{"the seed's example", seedFiles, seedFiles},
		{"opsi's blank after a folder", "d 'a' 0 \nf 'a/b' 1 " + sum, "d 'a' 0\nf 'a/b' 1 " + sum},
		{"any order", "f 'a/b' 1 " + sum + "\nd 'a' 0 ", "f 'a/b' 1 " + sum + "\nd 'a' 0"},
		{"line end at the end", "d 'a' 0\n", "d 'a' 0"},
		{"odd names", `f 'it\'s' 1 ` + sum + "\n" + `f ' %20#?ü "' 1 ` + sum, ""},
		{"link to the base", `l 'x' 0 '/'`, ""},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := manifest.ParseFiles(strings.NewReader(tt.text), manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if tt.prints == "" {
				tt.prints = tt.text
			}
			var b strings.Builder
			if err := manifest.WriteFiles(&b, list); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.prints, b.String()); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseFiles_Refuses(t *testing.T) {
	const sum = "d3007628addf6d9f688eb4c2e219dc18"
	tests := []struct{ name, text, want string }{
		{"executable", "x 'a' 1 " + sum, "does not know"},
		{"upper-case sum", "f 'a' 1 " + strings.ToUpper(sum), "MD5"},
		{"no sum", "f 'a' 1", "MD5"},
		{"blank after a file", "f 'a' 1 " + sum + " ", "MD5"},
		{"leading zero", "f 'a' 01 " + sum, "leading zeros"},
		{"folder with a size", "d 'a' 4096", "cannot have the size"},
		{"link with a size", "l 'a' 1 '/b'", "cannot have the size"},
		{"text after a folder", "d 'a' 0 x", "unexpected text"},
		{"double quotes", `d "a" 0`, "single quotes"},
		{"backslash at the end", `d 'a\' 0`, "closing quote"},
		{"inner backslash", `d 'a\b' 0`, "backslash"},
		{"relative target", "l 'a' 0 'b'", "must start with a slash"},
		{"climbing target", "l 'a' 0 '/../b'", `".."`},
		{"climbing path", "d '../a' 0", `".."`},
		{"twice", "d 'a' 0\nd 'a' 0", "twice"},
		{"no folder", "f 'a/b' 1 " + sum, "no entry for its folder"},
		{"below a file", "f 'a' 1 " + sum + "\nd 'a/b' 0", "which is a file"},
		{"CR LF", "d 'a' 0\r\n", "CR LF"},
		{"blank line", "d 'a' 0\n\nd 'b' 0", "line 2: "},
		{"too many", "d 'a' 0\nd 'b' 0\nd 'c' 0", "line 3: more than 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := manifest.ParseFiles(strings.NewReader(tt.text), manifest.Limits{Entries: 2})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWriteFiles_RefusesWhatTheFormatCannotCarry(t *testing.T) {
	for _, p := range []string{"ends with\\", "two\nlines", "carriage\rreturn", "a/../b"} {
		var b strings.Builder
		list := []manifest.FilesLine{{Type: manifest.Dir, Path: "fine"}, {Type: manifest.Dir, Path: p}}
		if err := manifest.WriteFiles(&b, list); err == nil || b.Len() > 0 {
			t.Errorf("%q was written: %q, %v", p, b.String(), err)
		}
	}
	if err := manifest.WriteFiles(brokenPipe{}, []manifest.FilesLine{{Type: manifest.Dir, Path: "a"}}); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want the writer's", err)
	}
}

var errBroken = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func FuzzParseFiles(f *testing.F) {
	f.Add([]byte(seedFiles))
	f.Add([]byte("d 'a' 0 \nf 'a/it\\'s' 1 d3007628addf6d9f688eb4c2e219dc18\nl 'b' 0 '/'\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := manifest.ParseFiles(strings.NewReader(string(data)), manifest.Limits{})
		if err != nil {
			return
		}
		var b strings.Builder
		if err := manifest.WriteFiles(&b, list); err != nil {
			t.Fatalf("parsed, but cannot be written: %v", err)
		}
		again, err := manifest.ParseFiles(strings.NewReader(b.String()), manifest.Limits{})
		if err != nil {
			t.Fatalf("what was written does not parse: %v", err)
		}
		if diff := cmp.Diff(list, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
