package lab_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/test/lab"
	"github.com/fernwerk/fernwerk/test/require"
)

// Packages that other tools have packed, in every format, compression and
// nesting that they use, install on a server and reach a client. Each version is
// packed in its own way, so that all of them replace one another.
func TestForeignArchives(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"tar", "cpio", "gzip", "bzip2", "zstd"} {
		require.Tool(t, tool)
	}
	formats := []struct{ ending, pack string }{
		{"tar", "tar --format=gnu -cf - ."},
		{"tar", "tar --format=posix -cf - ."},
		{"cpio", "find . | cpio --quiet -o -H newc"},
		{"cpio", "find . | cpio --quiet -o -H odc"},
		{"cpio", "find . | cpio --quiet -o -H bin"},
	}
	presses := []struct{ ending, press string }{{"", "cat"}, {".gz", "gzip -n"}, {".bz2", "bzip2"}, {".zstd", "zstd -q"}}
	outers := []string{"tar -cf - $layers", "echo $layers | tr ' ' '\\n' | cpio --quiet -o -H newc", "echo $layers | tr ' ' '\\n' | cpio --quiet -o -H odc"}

	l := lab.New(t)
	src := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("CLIENT_DATA/setup.sh", "true\n")
	write("CLIENT_DATA/files/größe.bin", lab.Noise("foreign", 100_000))
	write("CLIENT_DATA.site/files/settings", "of the site\n")
	write("CLIENT_DATA/files/settings", "of the maker\n")
	sh(t, filepath.Join(src, "CLIENT_DATA"), "ln files/größe.bin again; ln -s files/settings link; mkdir empty; chmod 4755 setup.sh")
	n := 0
	var last map[string]string
	for i, f := range formats {
		for j, p := range presses {
			n++
			version := fmt.Sprint(n)
			// An old description from an old editor, with CRLF.
			write("OPSI/control", strings.ReplaceAll("[Package]\nversion: 1\n[Product]\ntype: localboot\nid: old\nname: Gr\xf6\xdfe\ndescription: one\n two\nversion: "+version+
				"\nsetupScript: setup.sh\n[ProductProperty]\ntype: unicode\nname: where\nvalues: here, there\ndefault: here\n", "\n", "\r\n"))
			write("OPSI/postinst", "#!/bin/sh\necho "+version+" > \"$CLIENT_DATA_DIR/version\"\n")
			pack := "layers=\nfor layer in CLIENT_DATA.site CLIENT_DATA OPSI; do\n(cd $layer; " + f.pack + ") | " + p.press + " > $layer." + f.ending + p.ending +
				"\nlayers=\"$layers $layer." + f.ending + p.ending + "\"\ndone\n" + outers[(i+j)%len(outers)] + "\nrm $layers"
			got := l.Install("old_"+version+"-1~site.opsi", bytes.NewReader(sh(t, src, pack)))
			if got.Product != "old" || n > 1 && got.Replaced != fmt.Sprintf("%d-1", n-1) {
				t.Errorf("%s: %+v", pack, got)
			}
			tree := l.Tree(l.Server.Depot("old"))
			equal(t, pack+"\nversion", tree["version"], version+"\n")
			delete(tree, "version")
			delete(tree, "old.files")
			equal(t, pack+"\nsettings", tree["files/settings"], "of the site\n")
			if last != nil && len(lab.Differ(last, tree)) > 0 || tree["again"] != tree["files/größe.bin"] || tree["link"] != "-> files/settings" || tree["empty"] != "/" {
				t.Errorf("%s: another tree: %q", pack, lab.Differ(last, tree))
			}
			last = tree
			if info, err := os.Stat(filepath.Join(l.Server.Depot("old"), "setup.sh")); err != nil || info.Mode() != 0o755 {
				t.Errorf("%s: setup.sh has the mode %v, %v", pack, info.Mode(), err)
			}
		}
	}
	if rows := l.Rows("product_getObjects", []string{}, map[string]any{"id": "old", "productVersion": fmt.Sprint(n)}); len(rows) != 1 || rows[0].Str("name") != "Größe" || rows[0].Str("description") != "one\ntwo" {
		t.Errorf("product %v", rows)
	}
	pc := l.Host("pc1")
	pc.Request("old", "setup")
	pc.Fire("timer").OK(t)
	equal(t, "the site's settings, on the client", read(t, filepath.Join(pc.Cached("old"), "files", "settings")), "of the site\n")
}

func sh(t *testing.T, dir, script string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-euc", script)
	c.Dir = dir
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, &errs)
	}
	return out
}
