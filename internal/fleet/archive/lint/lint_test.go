package lint_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fernwerk/fernwerk/internal/fleet/archive/lint"
)

const head = "[Package]\nversion: 1\n[Product]\ntype: localboot\nid: tool\nversion: 1.0\n"

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

// good is a source with nothing to say about.
func good() fstest.MapFS {
	return fstest.MapFS{
		"OPSI/control":                     file(head + "setupScript: Sub\\setup.sh\nuninstallScript: uninstall.opsiscript\n"),
		"OPSI/postinst":                    file("#!/bin/sh\ntrue\n"),
		"CLIENT_DATA/Sub/setup.sh":         file("true\n"),
		"CLIENT_DATA/uninstall.opsiscript": file("[Actions]\r\n"),
		"CLIENT_DATA/run.cmd":              file("echo hello\r\n"),
		"CLIENT_DATA/link":                 {Data: []byte("Sub/setup.sh"), Mode: fs.ModeSymlink | 0o777},
	}
}

func TestSource(t *testing.T) {
	tests := []struct {
		name, path, text, want string
	}{
		{"nothing", "CLIENT_DATA/more", "x", ""},
		{"device", "CLIENT_DATA/nul.txt", "x", "warning: CLIENT_DATA: \"nul.txt\": NUL is a device"},
		{"dot at the end", "CLIENT_DATA/a./b", "x", "warning: CLIENT_DATA: \"a.\": Windows drops"},
		{"case", "CLIENT_DATA/SUB/x", "x", "differs from"},
		{"id that is a device", "OPSI/control", strings.Replace(head, "id: tool", "id: aux", 1), "error: OPSI: "},
		{"no such script", "OPSI/control", head + "setupScript: gone.sh\n", "error: OPSI/control: setupScript: \"gone.sh\" is not in CLIENT_DATA"},
		{"script in other case", "OPSI/control", head + "setupScript: sub/Setup.sh\n", "error: OPSI/control: setupScript: \"sub/Setup.sh\" is called \"Sub/setup.sh\""},
		{"unknown key", "OPSI/control", head + "setupSkript: x\n", "did you mean"},
		{"another product", "OPSI/control.toml", "[Package]\nversion = \"1\"\n[Product]\ntype = \"LocalbootProduct\"\nid = \"other\"\nversion = \"1.0\"\n", "it describes tool, control.toml other"},
		{"older control", "OPSI/control.toml", "[Package]\nversion = \"2\"\n[Product]\ntype = \"LocalbootProduct\"\nid = \"tool\"\nversion = \"1.0\"\n", "warning: OPSI/control: it states version 1.0-1, control.toml 1.0-2"},
		{"CRLF", "CLIENT_DATA/Sub/setup.sh", "true\r\n", "error: CLIENT_DATA/Sub/setup.sh: its lines end as on Windows"},
		{"CRLF in postinst", "OPSI/postinst", "#!/bin/sh\r\n", "error: OPSI/postinst: its lines end"},
		{"CRLF in the site's", "OPSI.site/preinst", "#!/bin/sh\r\n", "error: OPSI.site/preinst: its lines end"},
		{"no interpreter", "OPSI/preinst", "true\n", "does not start with #!"},
		{"mark", "OPSI/preinst", "\ufeff#!/bin/sh\n", "byte order mark"},
		{"python", "CLIENT_DATA/x.py", "#!/usr/bin/python3\r\n", "Unix will not find"},
		{"cmd of Unix", "CLIENT_DATA/x.cmd", "goto end\n:end\n", "Windows then misses jumps"},
		{"cmd with mark", "CLIENT_DATA/x.bat", "\ufeffecho\r\n", "error: CLIENT_DATA/x.bat"},
		{"old encoding", "CLIENT_DATA/x.opsiscript", "[Actions]\n; gr\xfc\xdfe\n", "it is not UTF-8"},
		{"old encoding, named", "CLIENT_DATA/x.opsiscript", "encoding=cp1252\n; gr\xfc\xdfe\n", ""},
		{"empty script", "CLIENT_DATA/x.sh", "\n", "the script is empty"},
		{"left over", "CLIENT_DATA/.git/config", "", "left over from another tool"},
		{"left over of an editor", "CLIENT_DATA/a.txt~", "", "left over from an editor"},
		{"not packed", "README.md", "", "does not become part"},
		{"for the server", "SERVER_DATA/etc/x", "", "refuses files for the server"},
		{"link out", "CLIENT_DATA/out", "-> ../../etc", "error: CLIENT_DATA/out: "},
		{"link to nothing", "CLIENT_DATA/out", "-> nothing", "which is not there"},
		{"link in OPSI", "OPSI/x", "-> control", "links are not allowed"},
		{"backslash", `CLIENT_DATA/a\b`, "", "backslash"},
		{"long path", "CLIENT_DATA/" + strings.Repeat("folder/", 30) + "x", "", "Windows takes 260"},
	}
	for _, tt := range tests {
		src := good()
		if target, ok := strings.CutPrefix(tt.text, "-> "); ok {
			src[tt.path] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
		} else {
			src[tt.path] = file(tt.text)
		}
		found, err := lint.Source(t.Context(), src)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		var lines []string
		for _, f := range found {
			lines = append(lines, f.Severity+": "+f.Path+": "+f.Text)
		}
		all := strings.Join(lines, "\n")
		if tt.want == "" && all != "" || !strings.Contains(all, tt.want) {
			t.Errorf("%s: found\n%s\nwant %q", tt.name, all, tt.want)
		}
	}
}

func TestSource_NoProduct(t *testing.T) {
	found, err := lint.Source(t.Context(), fstest.MapFS{})
	if err != nil || len(found) != 2 || found[0].Severity != lint.Error || found[1].Severity != lint.Warning {
		t.Errorf("%v, %+v", err, found)
	}
}
