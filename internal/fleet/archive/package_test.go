package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// options with temporary files that end with the test.
func options(t testing.TB) archive.Options {
	dir := t.TempDir()
	return archive.Options{Temp: func() (archive.Temp, error) { return os.CreateTemp(dir, "layer") }}
}

// source is a real product folder with names that no one would choose.
func source(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"OPSI/control":                         string(read(t, "control")),
		"OPSI/control.toml":                    string(read(t, "control.toml")),
		"OPSI/preinst":                         "#!/bin/sh\nexit 0\n",
		"OPSI/manifest":                        "left over from another build\n",
		"CLIENT_DATA/setup.opsiscript":         "[Actions]\n",
		"CLIENT_DATA/it's here/%20#?.txt":      "odd",
		"CLIENT_DATA/ blank /größe €.bin":      strings.Repeat("0123456789", 10_000),
		"CLIENT_DATA/two\nlines":               "x",
		"CLIENT_DATA/bin/run.sh":               "#!/bin/sh\n",
		"CLIENT_DATA/bin-a":                    "sorts before bin/",
		"CLIENT_DATA/empty":                    "",
		"CLIENT_DATA/" + long + "/" + long:     "long names",
		"SERVER_DATA/var/lib/opsi/tftpboot/a":  "server",
		"README.md":                            "not packed",
		"CLIENT_DATA/.hidden/deep/er/file.dat": "deep",
	}
	for name, content := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "CLIENT_DATA")
	for _, err := range []error{
		os.Mkdir(filepath.Join(data, "empty folder"), 0o755),
		os.Chmod(filepath.Join(data, "bin/run.sh"), 0o755),
		os.Symlink("../it's here/%20#?.txt", filepath.Join(data, "bin/link")),
		os.Symlink("bin", filepath.Join(data, "to folder")),
		os.Symlink("nowhere", filepath.Join(data, "dangling")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var long = strings.Repeat("long-name-", 15)

func build(t testing.TB, src fs.FS) ([]byte, *archive.Built) {
	t.Helper()
	var b bytes.Buffer
	built, err := archive.Build(t.Context(), &b, src, options(t))
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), built
}

// unpack reads a package whole: path -> what is there.
func unpack(ctx context.Context, data []byte, limits archive.Limits) (map[string]string, *archive.Package, *manifest.Manifest, error) {
	p, err := archive.Open(bytes.NewReader(data), int64(len(data)), limits)
	if err != nil {
		return nil, nil, nil, err
	}
	got := map[string]string{}
	m, err := p.Unpack(ctx, func(layer archive.Layer, e manifest.Entry, content io.Reader) error {
		text, err := io.ReadAll(content)
		got[string(layer)+"/"+e.Path] = fmt.Sprintf("%c %s%s", e.Type, e.Target, text)
		return err
	})
	return got, p, m, err
}

func TestBuild_Unpack(t *testing.T) {
	data, built := build(t, os.DirFS(source(t)))
	got, p, m, err := unpack(t.Context(), data, archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"SERVER_DATA/var":                      "d ",
		"SERVER_DATA/var/lib":                  "d ",
		"SERVER_DATA/var/lib/opsi":             "d ",
		"SERVER_DATA/var/lib/opsi/tftpboot":    "d ",
		"SERVER_DATA/var/lib/opsi/tftpboot/a":  "f server",
		"CLIENT_DATA/ blank ":                  "d ",
		"CLIENT_DATA/ blank /größe €.bin":      "f " + strings.Repeat("0123456789", 10_000),
		"CLIENT_DATA/.hidden":                  "d ",
		"CLIENT_DATA/.hidden/deep":             "d ",
		"CLIENT_DATA/.hidden/deep/er":          "d ",
		"CLIENT_DATA/.hidden/deep/er/file.dat": "f deep",
		"CLIENT_DATA/bin":                      "d ",
		"CLIENT_DATA/bin-a":                    "f sorts before bin/",
		"CLIENT_DATA/bin/link":                 "l ../it's here/%20#?.txt",
		"CLIENT_DATA/bin/run.sh":               "x #!/bin/sh\n",
		"CLIENT_DATA/dangling":                 "l nowhere",
		"CLIENT_DATA/empty":                    "f ",
		"CLIENT_DATA/empty folder":             "d ",
		"CLIENT_DATA/it's here":                "d ",
		"CLIENT_DATA/it's here/%20#?.txt":      "f odd",
		"CLIENT_DATA/setup.opsiscript":         "f [Actions]\n",
		"CLIENT_DATA/to folder":                "l bin",
		"CLIENT_DATA/two\nlines":               "f x",
		"CLIENT_DATA/" + long:                  "d ",
		"CLIENT_DATA/" + long + "/" + long:     "f long names",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	if d := manifest.Compare(built.Manifest, m); !d.Equal() || p.Manifest.Digest() != m.Digest() {
		t.Errorf("the manifests of build, package and content differ: %+v", d)
	}
	if p.Control.Product.ID != "fern-browser" || built.Control.Name().String() != "fern-browser_128.3.1esr-2.opsi" {
		t.Errorf("control %+v", p.Control)
	}
	if string(p.Files["preinst"]) != "#!/bin/sh\nexit 0\n" {
		t.Errorf("preinst is %q", p.Files["preinst"])
	}
}

// The outer form is what opsi reads: an uncompressed tar with these members.
func TestBuild_Form(t *testing.T) {
	data, _ := build(t, os.DirFS(source(t)))
	var names []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if h.Uid != 0 || h.Uname != "" || !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("header %+v is not neutral", h)
		}
	}
	if diff := cmp.Diff([]string{"OPSI.tar.zstd", "SERVER_DATA.tar.zstd", "CLIENT_DATA.tar.zstd"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestBuild_TwiceTheSame(t *testing.T) {
	src := source(t)
	first, _ := build(t, os.DirFS(src))
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(src, "CLIENT_DATA/empty"), later, later); err != nil {
		t.Fatal(err)
	}
	second, _ := build(t, os.DirFS(src))
	if !bytes.Equal(first, second) {
		t.Error("two builds of one source differ")
	}
	opts := options(t)
	opts.ModTime = time.Unix(1_700_000_000, 5)
	var third bytes.Buffer
	if _, err := archive.Build(t.Context(), &third, os.DirFS(src), opts); err != nil || bytes.Equal(third.Bytes(), first) {
		t.Errorf("the given time is not in the package (%v)", err)
	}
}

func TestBuild_Progress(t *testing.T) {
	opts := options(t)
	var last int64
	opts.Progress = func(done int64) {
		if done <= last {
			t.Errorf("progress went from %d to %d", last, done)
		}
		last = done
	}
	src := os.DirFS(source(t))
	built, err := archive.Build(t.Context(), io.Discard, src, opts)
	if err != nil {
		t.Fatal(err)
	}
	if last < built.Manifest.Size() {
		t.Errorf("progress ends at %d of at least %d", last, built.Manifest.Size())
	}
	ctx, cancel := context.WithCancel(t.Context())
	opts.Progress = func(int64) { cancel() }
	if _, err := archive.Build(ctx, io.Discard, src, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func control() *fstest.MapFile { return &fstest.MapFile{Data: []byte(tomlStart)} }

func TestBuild_Refuses(t *testing.T) {
	tests := []struct {
		name string
		src  fstest.MapFS
		want string
	}{
		{"no control data", fstest.MapFS{"CLIENT_DATA/a": {}}, "control.toml"},
		{"broken control data", fstest.MapFS{"OPSI/control": {Data: []byte("x")}}, "line 1"},
		{"setuid", fstest.MapFS{"OPSI/control.toml": control(), "CLIENT_DATA/a": {Mode: fs.ModeSetuid | 0o755}}, "setuid"},
		{"device", fstest.MapFS{"OPSI/control.toml": control(), "CLIENT_DATA/a": {Mode: fs.ModeDevice}}, "neither a file nor a folder"},
		{"escaping link", fstest.MapFS{"OPSI/control.toml": control(), "CLIENT_DATA/a": {Mode: fs.ModeSymlink, Data: []byte("../OPSI/control")}}, "out of the tree"},
		{"link in OPSI", fstest.MapFS{"OPSI/control.toml": control(), "OPSI/a": {Mode: fs.ModeSymlink, Data: []byte("control")}}, "neither a file nor a folder"},
		{"layer is a link", fstest.MapFS{"OPSI/control.toml": control(), "CLIENT_DATA": {Mode: fs.ModeSymlink, Data: []byte("OPSI")}}, "CLIENT_DATA is not a folder"},
		{"folder named manifest", fstest.MapFS{"OPSI/control.toml": control(), "OPSI/manifest/a": {}}, "manifest"},
		{"backslash", fstest.MapFS{"OPSI/control.toml": control(), `CLIENT_DATA/a\b`: {}}, "backslash"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := archive.Build(t.Context(), io.Discard, tt.src, options(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// growing is a source whose files are longer than they say.
type growing struct{ fstest.MapFS }

func (g growing) Open(name string) (fs.File, error) {
	longer := fstest.MapFS{}
	for n, f := range g.MapFS {
		longer[n] = &fstest.MapFile{Data: append(bytes.Clone(f.Data), '\n')}
	}
	return longer.Open(name)
}

func (g growing) Lstat(name string) (fs.FileInfo, error)     { return g.MapFS.Lstat(name) }
func (g growing) ReadLink(name string) (string, error)       { return g.MapFS.ReadLink(name) }
func (g growing) ReadDir(name string) ([]fs.DirEntry, error) { return g.MapFS.ReadDir(name) }

func TestBuild_FileChanges(t *testing.T) {
	src := growing{fstest.MapFS{"OPSI/control.toml": control(), "CLIENT_DATA/log": {Data: []byte("one")}}}
	_, err := archive.Build(t.Context(), io.Discard, src, options(t))
	if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("error %v", err)
	}
}

// tarball writes a tar by hand, as other tools or attackers do.
func tarball(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Uname // a place for the content
		h.Uname = ""
		if h.Size == 0 {
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func reg(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Uname: content}
}

// withData is a package around one CLIENT_DATA tar.
func withData(t testing.TB, client []byte) []byte {
	return tarball(t, reg("OPSI.tar", string(tarball(t, reg("control.toml", tomlStart)))), reg("CLIENT_DATA.tar", string(client)))
}

// A package as opsi-makepackage may leave it: data first, gzip, "./" before
// names, folders with setgid, no manifest.
func TestUnpack_OpsisOwn(t *testing.T) {
	client := tarball(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o2770},
		reg("./a/b/c.txt", "c"),
		tar.Header{Typeflag: tar.TypeDir, Name: "./a/", Mode: 0o2770},
		tar.Header{Typeflag: tar.TypeReg, Name: "./a/run", Mode: 0o770, Uname: "r"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./a/link", Linkname: "b/c.txt"})
	opsi := tarball(t, reg("./control", legacyStart), reg("./postinst", "#! /bin/bash\n"))
	for _, tt := range []struct {
		ending string
		press  func(testing.TB, []byte) []byte
	}{
		{".gz", gzipped}, {".zst", zstded}, {".zstd", zstded}, {"", func(_ testing.TB, b []byte) []byte { return b }},
	} {
		data := tarball(t, reg("CLIENT_DATA.tar"+tt.ending, string(tt.press(t, client))), reg("OPSI.tar"+tt.ending, string(tt.press(t, opsi))))
		got, p, m, err := unpack(t.Context(), data, archive.Limits{})
		if err != nil {
			t.Errorf("%q: %v", tt.ending, err)
			continue
		}
		want := map[string]string{"CLIENT_DATA/a": "d ", "CLIENT_DATA/a/b": "d ", "CLIENT_DATA/a/b/c.txt": "f c", "CLIENT_DATA/a/run": "x r", "CLIENT_DATA/a/link": "l b/c.txt"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.ending, diff)
		}
		if p.Manifest != nil || len(m.Entries) != 5 || p.Control.Product.ID != "tool" {
			t.Errorf("%q: package %+v, manifest %+v", tt.ending, p, m)
		}
		if e, _ := m.Find("a/b/c.txt"); e.Sum != sha256.Sum256([]byte("c")) {
			t.Errorf("%q: the sum of c.txt is %x", tt.ending, e.Sum)
		}
	}
}

func TestUnpack_Refuses(t *testing.T) {
	d := func(headers ...tar.Header) []byte { return withData(t, tarball(t, headers...)) }
	opsi := reg("OPSI.tar", string(tarball(t, reg("control.toml", tomlStart))))
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"climbing path", d(reg("a/../../b", "")), `".."`},
		{"absolute path", d(reg("/etc/passwd", "")), "absolute"},
		{"backslash", d(reg(`..\a`, "")), "backslash"},
		{"not UTF-8", d(reg("a\xff", "")), "UTF-8"},
		{"hard link", d(reg("a", ""), tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}), "hard links"},
		{"pipe", d(tar.Header{Typeflag: tar.TypeFifo, Name: "a"}), "devices and pipes"},
		{"device", d(tar.Header{Typeflag: tar.TypeBlock, Name: "a"}), "devices and pipes"},
		{"setuid", d(tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o4755}), "setuid"},
		{"setgid", d(tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o2755}), "setuid or setgid"},
		{"absolute link", d(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc"}), "absolute"},
		{"climbing link", d(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "../x"}), "out of the tree"},
		{"through a link", d(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"}, reg("a/c", "")), `"a" is a link`},
		{"below a file", d(reg("a", ""), reg("a/b", "")), `"a" is a file`},
		{"twice", d(reg("a", "1"), reg("a", "2")), "twice"},
		{"folder twice", d(tar.Header{Typeflag: tar.TypeDir, Name: "a/"}, tar.Header{Typeflag: tar.TypeDir, Name: "a/"}), "twice"},
		{"implied folder becomes a link", d(reg("a/b", ""), tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "c"}), "twice"},
		{"data behind the end", withData(t, append(tarball(t, reg("a", "")), bytes.Repeat([]byte("x"), 512)...)), "behind its end"},
		{"link in OPSI", tarball(t, reg("OPSI.tar", string(tarball(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "control", Linkname: "x"})))), "links are not allowed"},
		{"no control data", tarball(t, reg("OPSI.tar", string(tarball(t, reg("preinst", ""))))), "control.toml"},
		{"no OPSI", tarball(t, reg("CLIENT_DATA.tar", string(tarball(t)))), "no OPSI layer"},
		{"two OPSI", tarball(t, opsi, opsi), "second OPSI"},
		{"empty", nil, "cut off"},
		{"text", []byte(strings.Repeat("no archive\n", 100)), "not a package"},
		{"cpio", []byte("070701" + strings.Repeat("0", 2000)), "not supported yet: cpio"},
		{"inner cpio", tarball(t, reg("OPSI.cpio.gz", "x")), "not supported yet: cpio"},
		{"bzip2", tarball(t, reg("OPSI.tar.bz2", "x")), "not supported yet: bzip2"},
		{"custom layer", tarball(t, opsi, reg("CLIENT_DATA.mine.tar.gz", "x")), "not supported yet: custom layers"},
		{"unknown compression", tarball(t, reg("OPSI.tar.rar", "x")), `unknown compression "rar"`},
		{"unknown member", tarball(t, opsi, reg("virus.exe", "x")), "not a layer"},
		{"member is a link", tarball(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "OPSI.tar", Linkname: "x"}), "not a regular file"},
		{"wrong compression", tarball(t, reg("OPSI.tar.zstd", "no zstd at all")), "damaged"},
		{"wrong gzip", tarball(t, reg("OPSI.tar.gz", "no gzip at all")), "damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := unpack(t.Context(), tt.data, archive.Limits{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestUnpack_Limits(t *testing.T) {
	// Headers that never end: each extended header is legal, together they are
	// 8 MiB out of a few hundred bytes.
	var endless bytes.Buffer
	record := tarball(t, tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("n", 200), Format: tar.FormatPAX})[:1024]
	for range 8 << 10 {
		endless.Write(record)
	}
	zeros := strings.Repeat("\x00", 1<<20)
	bomb := tarball(t, reg("OPSI.tar.zstd", string(zstded(t, tarball(t, reg("control.toml", tomlStart))))),
		reg("CLIENT_DATA.tar.zstd", string(zstded(t, tarball(t, reg("a", zeros), reg("b", zeros))))))
	tests := []struct {
		name   string
		data   []byte
		limits archive.Limits
	}{
		{"entries", withData(t, tarball(t, reg("a", ""), reg("b", ""), reg("c", ""))), archive.Limits{Entries: 2}},
		{"folders without entries of their own", withData(t, tarball(t, reg("a/b/c/d", ""))), archive.Limits{Entries: 3}},
		{"content", bomb, archive.Limits{Bytes: 2<<20 - 1}},
		{"control data", withData(t, nil), archive.Limits{ControlBytes: int64(len(tomlStart)) - 1}},
		{"headers", tarball(t, reg("OPSI.tar.zstd", string(zstded(t, endless.Bytes())))), archive.Limits{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := unpack(t.Context(), tt.data, tt.limits)
			if fleet.CodeOf(err) != fleet.TooLarge {
				t.Errorf("error %v, want one with the code %s", err, fleet.TooLarge)
			}
		})
	}
	if _, _, _, err := unpack(t.Context(), bomb, archive.Limits{Bytes: 2 << 20, Entries: 2}); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

func TestUnpack_ManifestDisagrees(t *testing.T) {
	m, err := manifest.New([]manifest.Entry{
		{Path: "a", Type: manifest.File, Size: 1, Sum: sha256.Sum256([]byte("1"))},
		{Path: "b", Type: manifest.File, Size: 1, Sum: sha256.Sum256([]byte("2"))},
	})
	if err != nil {
		t.Fatal(err)
	}
	opsi := reg("OPSI.tar", string(tarball(t, reg("control.toml", tomlStart), reg("manifest", string(m.Text())))))
	for _, tt := range []struct {
		name   string
		client []tar.Header
		want   string
	}{
		{"equal", []tar.Header{reg("b", "2"), reg("a", "1")}, ""},
		{"changed", []tar.Header{reg("a", "1"), reg("b", "3")}, `"b" is not as its manifest says`},
		{"missing", []tar.Header{reg("b", "2")}, `its manifest lists "a"`},
		{"more", []tar.Header{reg("a", "1"), reg("a2", ""), reg("b", "2")}, `"a2" is not in its manifest`},
		{"executable", []tar.Header{reg("a", "1"), {Typeflag: tar.TypeReg, Name: "b", Mode: 0o755, Uname: "2"}}, `"b" is not as`},
	} {
		_, _, _, err := unpack(t.Context(), tarball(t, opsi, reg("CLIENT_DATA.tar", string(tarball(t, tt.client...)))), archive.Limits{})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, _, _, err := unpack(t.Context(), tarball(t, opsi), archive.Limits{}); err == nil {
		t.Error("a package without its CLIENT_DATA was taken")
	}
}

// small is a package of our own for tests that try every byte.
func small(t testing.TB) []byte {
	data, _ := build(t, fstest.MapFS{
		"OPSI/control.toml": control(), "CLIENT_DATA/a b": {Data: []byte("hello")}, "CLIENT_DATA/d/run": {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
	})
	return data
}

func TestUnpack_CutOff(t *testing.T) {
	data := small(t)
	for n := range len(data) {
		if _, _, _, err := unpack(t.Context(), data[:n], archive.Limits{}); err == nil {
			t.Fatalf("a package cut to %d of %d bytes was taken", n, len(data))
		}
	}
}

// A flipped bit is an error or changes nothing (padding, times in headers).
func TestUnpack_FlippedBits(t *testing.T) {
	data := small(t)
	want, _, m, err := unpack(t.Context(), data, archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << rand.IntN(8)
		got, _, gotM, err := unpack(t.Context(), bad, archive.Limits{})
		if err != nil {
			refused++
			continue
		}
		if !cmp.Equal(want, got) || m.Digest() != gotM.Digest() {
			t.Fatalf("byte %d flipped: another tree was taken", i)
		}
	}
	if refused == 0 {
		t.Error("no flip was noticed")
	}
}

func TestUnpack_HandlerStops(t *testing.T) {
	p, err := archive.Open(bytes.NewReader(small(t)), int64(len(small(t))), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("disk is full")
	if _, err := p.Unpack(t.Context(), func(archive.Layer, manifest.Entry, io.Reader) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the handler's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Unpack(ctx, func(archive.Layer, manifest.Entry, io.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	// Content that the handler leaves is skipped, and still checked.
	if _, err := p.Unpack(t.Context(), func(archive.Layer, manifest.Entry, io.Reader) error { return nil }); err != nil {
		t.Error(err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(small(f))
	f.Add(withData(f, tarball(f, reg("a/b", "c"), tar.Header{Typeflag: tar.TypeSymlink, Name: "a/l", Linkname: "b"})))
	f.Add(tarball(f, reg("OPSI.tar.gz", string(gzipped(f, tarball(f, reg("control", legacyStart)))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := archive.Limits{Entries: 100, Bytes: 1 << 20, ControlBytes: 1 << 20}
		got, p, m, err := unpack(t.Context(), data, limits)
		if err != nil {
			return
		}
		if m.Size() > limits.Bytes || len(got) > limits.Entries {
			t.Fatalf("%d bytes in %d entries came out", m.Size(), len(got))
		}
		if _, err := manifest.New(m.Entries); err != nil {
			t.Fatal(err)
		}
		if p.Manifest != nil && p.Manifest.Digest() != m.Digest() {
			t.Fatal("the content is not what the manifest says")
		}
	})
}

// BenchmarkBuild packs 11,000 files of 133 MB, half of them incompressible.
func BenchmarkBuild(b *testing.B) {
	src := fstest.MapFS{"OPSI/control.toml": control()}
	random := rand.New(rand.NewPCG(1, 2))
	var size int64
	for i := range 11_000 {
		data := make([]byte, 12_100)
		for j := range data {
			data[j] = byte(random.Uint32())
			if i%2 == 0 {
				data[j] &= 3
			}
		}
		size += int64(len(data))
		src[fmt.Sprintf("CLIENT_DATA/dir%03d/file%05d", i/100, i)] = &fstest.MapFile{Data: data}
	}
	dir := b.TempDir()
	for name, f := range src {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(size)
	for b.Loop() {
		if _, err := archive.Build(b.Context(), io.Discard, os.DirFS(dir), options(b)); err != nil {
			b.Fatal(err)
		}
	}
}
