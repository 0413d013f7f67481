package archive_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/test/require"
)

// sh runs a pipe of real tools in a folder; what it prints is the result.
func sh(t testing.TB, dir, script string, argv ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", append([]string{"-euc", script, "sh"}, argv...)...)
	c.Dir = dir
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, &errs)
	}
	return out.Bytes()
}

// packers are the ways in which layers were ever packed, as shell.
var packers = []struct{ name, ending, pack string }{
	{"gnu", "tar", "tar --format=gnu -cf - ."},
	{"oldgnu", "tar", "tar --format=oldgnu -cf - ."},
	{"pax", "tar", "tar --format=posix -cf - ."},
	{"names only", "tar", "find . ! -type d | tar -cf - -T -"},
	{"newc", "cpio", "find . | cpio --quiet -o -H newc"},
	{"crc", "cpio", "find . | cpio --quiet -o -H crc"},
	{"odc", "cpio", "find . | cpio --quiet -o -H odc"},
	{"binary", "cpio", "find . | cpio --quiet -o -H bin"},
	{"odc of tar's names", "cpio", "find . -depth ! -name . | cpio --quiet -o -c"},
}

var presses = []struct{ ending, press string }{
	{"", "cat"},
	{".gz", "gzip -n --rsyncable"},
	{".bz2", "bzip2"},
	{".zstd", "zstd -q --rsyncable --long=27"},
}

// outers pack the layers that the arguments name.
var outers = []struct{ name, pack string }{
	{"tar", `tar -cf - "$@"`},
	{"pax", `tar --format=posix -cf - "$@"`},
	{"newc", `printf '%s\n' "$@" | cpio --quiet -o -H newc`},
	{"crc", `printf '%s\n' "$@" | cpio --quiet -o -H crc`},
	{"odc", `printf '%s\n' "$@" | cpio --quiet -o -H odc`},
	{"binary", `printf '%s\n' "$@" | cpio --quiet -o -H bin`},
}

// needTools leaves the test out where a tool is missing.
func needTools(t testing.TB) {
	t.Helper()
	for _, tool := range []string{"tar", "cpio", "gzip", "bzip2", "zstd"} {
		require.Tool(t, tool)
	}
}

// foreign is a source folder as a packager of another tool has it, with what
// those tools keep: hard links, modes, a file that compresses a thousandfold.
func foreign(t testing.TB) (dir string, want map[string]string) {
	t.Helper()
	dir = t.TempDir()
	big := strings.Repeat("big\n", 300_000)
	name := strings.Repeat("long", 30)
	for file, text := range map[string]string{
		"OPSI/control": legacyStart, "OPSI/preinst": "#!/bin/sh\n",
		"OPSI.site/preinst":        "#!/bin/sh\n# of the site\n",
		"CLIENT_DATA/setup.script": "[Actions]\n", "CLIENT_DATA/a/größe €.txt": "odd", "CLIENT_DATA/a/empty": "",
		"CLIENT_DATA/a/big": big, "CLIENT_DATA/bin/run": "#!/bin/sh\n", "CLIENT_DATA/" + name + "/" + name + "/x": "deep",
		"CLIENT_DATA.site/setup.script": "[Actions]\n; of the site\n", "CLIENT_DATA.site/new/b": "b",
	} {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sh(t, filepath.Join(dir, "CLIENT_DATA"), `ln a/big big2; ln a/big bin/big3; ln setup.script a/setup2; ln a/empty a/empty2
		ln -s a/empty link; mkdir none; chmod 4755 bin/run; chmod 2770 a`)
	want = map[string]string{
		"CLIENT_DATA/a": "d ", "CLIENT_DATA/bin": "d ", "CLIENT_DATA/none": "d ", "CLIENT_DATA/new": "d ",
		"CLIENT_DATA/" + name: "d ", "CLIENT_DATA/" + name + "/" + name: "d ", "CLIENT_DATA/" + name + "/" + name + "/x": "f deep",
		"CLIENT_DATA/setup.script": "f [Actions]\n; of the site\n", "CLIENT_DATA/new/b": "f b", "CLIENT_DATA/a/setup2": "f [Actions]\n",
		"CLIENT_DATA/a/größe €.txt": "f odd", "CLIENT_DATA/a/empty": "f ", "CLIENT_DATA/a/empty2": "f ",
		"CLIENT_DATA/a/big": "f " + big, "CLIENT_DATA/big2": "f " + big, "CLIENT_DATA/bin/big3": "f " + big,
		"CLIENT_DATA/bin/run": "x #!/bin/sh\n", "CLIENT_DATA/link": "l a/empty",
	}
	return dir, want
}

// Every way of packing gives the same tree: what a site laid over it, hard
// links as files, without setuid.
func TestUnpack_RealTools(t *testing.T) {
	needTools(t)
	dir, whole := foreign(t)
	packed := map[string][]byte{}
	for i, packer := range packers {
		for j, press := range presses {
			outer := outers[(i+j)%len(outers)]
			t.Run(fmt.Sprintf("%s, %s in %s", packer.name, press.press, outer.name), func(t *testing.T) {
				want := whole
				if packer.name == "names only" {
					want = map[string]string{}
					for name, what := range whole {
						if name != "CLIENT_DATA/none" {
							want[name] = what
						}
					}
				}
				out := t.TempDir()
				var layers []string
				// The site's layer first: its place in the file says nothing. The
				// small layers are packed in yet another way.
				for k, layer := range []string{"CLIENT_DATA.site", "OPSI.site", "OPSI", "CLIENT_DATA"} {
					packer, press := packers[(i+k+1)%len(packers)], presses[(j+k)%len(presses)]
					if layer == "CLIENT_DATA" {
						packer, press = packers[i], presses[j]
					}
					name := layer + "." + packer.ending + press.ending
					layers = append(layers, name)
					script := packer.pack + " | " + press.press
					key := layer + ": " + script
					if packed[key] == nil {
						packed[key] = sh(t, filepath.Join(dir, layer), script)
					}
					if err := os.WriteFile(filepath.Join(out, name), packed[key], 0o644); err != nil {
						t.Fatal(err)
					}
				}
				data := sh(t, out, outer.pack, layers...)
				got, p, _, err := unpack(t.Context(), data, archive.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if text := string(p.Files["preinst"]); !strings.Contains(text, "of the site") || !cmp.Equal(p.Custom, []string{"site"}) {
					t.Errorf("preinst is %q, custom layers %q", text, p.Custom)
				}
				// Cut anywhere it is refused; at its end there is padding only.
				n := len(bytes.TrimRight(data, "\x00")) * (i*len(presses) + j) / (len(packers) * len(presses))
				if _, _, _, err := unpack(t.Context(), data[:n], archive.Limits{}); err == nil {
					t.Errorf("cut to %d of %d bytes it was taken", n, len(data))
				}
			})
		}
	}
}

// What real tools can pack and a depot must not take.
func TestUnpack_RealToolsRefused(t *testing.T) {
	needTools(t)
	for _, tt := range []struct{ name, prepare, pack, want string }{
		{"sparse file", "truncate -s 8M hole; echo x >> hole", "tar -S -cf ../CLIENT_DATA.tar .", "sparse"},
		{"sparse file, pax", "truncate -s 8M hole; echo x >> hole", "tar -S --format=posix -cf ../CLIENT_DATA.tar .", "sparse"},
		{"pipe", "mkfifo p", "tar -cf ../CLIENT_DATA.tar .", "devices and pipes"},
		{"pipe in cpio", "mkfifo p", "find . | cpio --quiet -o -H newc > ../CLIENT_DATA.cpio", "devices and pipes"},
		{"path out", "touch x", "tar -P --transform='s,^\\./x,../x,' -cf ../CLIENT_DATA.tar ./x", `".."`},
		{"path from the root", "touch x", "tar -P --transform='s,^\\./x,/tmp/x,' -cf ../CLIENT_DATA.tar ./x", "absolute"},
		{"path out in cpio", "touch ../x", "echo ../x | cpio --quiet -o -H odc > ../CLIENT_DATA.cpio", `".."`},
		{"link out", "ln -s /etc/passwd x", "tar -cf ../CLIENT_DATA.tar .", "absolute"},
		{"link out in cpio", "ln -s ../../x x", "find . | cpio --quiet -o -H newc > ../CLIENT_DATA.cpio", "out of the tree"},
		{"added twice", "touch x", "tar -cf ../CLIENT_DATA.tar ./x; tar -rf ../CLIENT_DATA.tar ./x", "twice"},
		{"something behind it", "touch x", "find . | cpio --quiet -o -H newc > ../CLIENT_DATA.cpio; echo garbage >> ../CLIENT_DATA.cpio", "behind its end"},
		{"something behind the compressor", "touch x", "tar -cz . > ../CLIENT_DATA.tar.gz; echo garbage garbage garbage >> ../CLIENT_DATA.tar.gz", "damaged"},
		{"something behind bzip2", "touch x", "tar -cj . > ../CLIENT_DATA.tar.bz2; echo garbage >> ../CLIENT_DATA.tar.bz2", "damaged"},
		{"wrong checksum", "echo aaaa > x", "find . | cpio --quiet -o -H crc | sed s/aaaa/aaab/ > ../CLIENT_DATA.cpio", "checksum"},
		{"half", "head -c 100000 /dev/urandom > x", "tar -cz . | head -c 50000 > ../CLIENT_DATA.tar.gz", "cut off"},
		{"half of bzip2", "head -c 100000 /dev/urandom > x", "tar -cj . | head -c 50000 > ../CLIENT_DATA.tar.bz2", "cut off"},
		{"half of cpio", "head -c 100000 /dev/urandom > x", "find . | cpio --quiet -o -H bin | head -c 50000 > ../CLIENT_DATA.cpio", "cut off"},
		{"multi-volume", "head -c 100000 /dev/urandom > x", "tar -M -L 50 -cf ../CLIENT_DATA.tar -f ../rest -f ../rest2 .", "cut off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			sh(t, dir, "mkdir src OPSI; printf %s \"$1\" > OPSI/control; tar -C OPSI -cf OPSI.tar control", legacyStart)
			sh(t, filepath.Join(dir, "src"), tt.prepare+"\n"+tt.pack)
			data := sh(t, dir, "tar -cf - OPSI.tar CLIENT_DATA.*")
			_, _, _, err := unpack(t.Context(), data, archive.Limits{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
