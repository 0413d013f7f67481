package manifest_test

import (
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

func TestCheckPath(t *testing.T) {
	long := strings.Repeat(strings.Repeat("n", 255)+"/", 15) // 3840 bytes
	tests := []struct {
		path, want string
	}{
		{"a", ""}, {"a/b c/ü", ""}, {" ", ""}, {"...", ""}, {"a'b\"c", ""}, {"%20#?", ""}, {"a\nb", ""}, {"CON", ""},
		{strings.Repeat("n", 255), ""}, {long + strings.Repeat("n", 255), ""},
		{"", "empty"}, {"/", "absolute"}, {"/a", "absolute"}, {"a//b", "a name in it is empty"}, {"a/", "a name in it is empty"},
		{".", `"."`}, {"a/./b", `"."`}, {"..", `".."`}, {"a/../b", `".."`},
		{`a\b`, "backslash"}, {"a\x00", "NUL"}, {"a\xff", "UTF-8"},
		{strings.Repeat("n", 256), "longer than 255"}, {long + long, "longer than 4096"},
	}
	for _, tt := range tests {
		switch err := manifest.CheckPath(tt.path); {
		case tt.want == "" && err != nil:
			t.Errorf("CheckPath(%q): %v", tt.path, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("CheckPath(%q): %v, want %q", tt.path, err, tt.want)
		}
	}
}

func TestCheckLink(t *testing.T) {
	tests := []struct {
		path, target string
		ok           bool
	}{
		{"l", "a", true}, {"l", "./a", true}, {"l", "a/b/", true}, {"l", ".", true},
		{"d/l", "..", true}, {"d/l", "../a", true}, {"d/e/l", "../../a", true}, {"d/l", "./../a", true},
		{"l", "", false}, {"l", "/etc/passwd", false}, {"l", "..", false}, {"d/l", "../..", false}, {"d/l", "../../a", false},
		// Behind another link d -> ../.. these would climb out.
		{"d/e/l", "a/..", false}, {"d/e/l", "../x/../a", false},
		{"l", `a\b`, false}, {"l", "a\x00", false}, {"l", "\xff", false}, {"l", strings.Repeat("n", 256), false},
	}
	for _, tt := range tests {
		if err := manifest.CheckLink(tt.path, tt.target); (err == nil) != tt.ok {
			t.Errorf("CheckLink(%q, %q) = %v, want ok %v", tt.path, tt.target, err, tt.ok)
		}
	}
}

func TestPortable(t *testing.T) {
	m, err := manifest.New([]manifest.Entry{
		dir("A"), dir("a"), file("A/x", ""), file("a/x", ""),
		file("CON", ""), file("aux.txt", ""), file("nul .log", ""), file("com1", ""), file("LPT³.x", ""), file("conin$", ""),
		file("dot.", ""), file("blank ", ""), file("C:", ""), file("what?", ""), file("tab\t", ""),
		dir("d"), link("d/up", ".."), link("d/self", "."), link("d/con", "prn"), file("ÄÖ", ""), file("äö", ""),
		file("Σ", ""), file("ς", ""),
		// all of these are fine
		file("con1", ""), file("common", ""), file("com10", ""), file(".hidden", ""), file("it's (1) %20#.txt", ""), link("d/f", "../com10"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, err := range m.Portable() {
		got.WriteString(err.Error() + "\n")
	}
	want := `"C:": Windows allows no ':' in a name
"CON": CON is a device on Windows
"LPT³.x": LPT³ is a device on Windows
"a": differs from "A" only in upper and lower case
"aux.txt": AUX is a device on Windows
"blank ": Windows drops a dot or blank at the end of a name
"com1": COM1 is a device on Windows
"conin$": CONIN$ is a device on Windows
"d/con": CON is a device on Windows
"d/con": the link's target "prn": PRN is a device on Windows
"d/self": the link leads to its own folder or one above
"d/up": the link leads to its own folder or one above
"dot.": Windows drops a dot or blank at the end of a name
"nul .log": NUL is a device on Windows
"tab\t": Windows allows no '\t' in a name
"what?": Windows allows no '?' in a name
"äö": differs from "ÄÖ" only in upper and lower case
"ς": differs from "Σ" only in upper and lower case
`
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}
