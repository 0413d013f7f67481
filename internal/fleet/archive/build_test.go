package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
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

	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// options with temporary files that end with the test.
func options(t testing.TB) archive.Options {
	dir := t.TempDir()
	return archive.Options{Temp: func() (archive.Temp, error) { return os.CreateTemp(dir, "layer") }}
}

// read returns a control file of package control's test data.
func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "control", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
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
	if p.Control.Product.ID != "fern-browser" || archive.NameOf(built.Control).String() != "fern-browser_128.3.1esr-2.opsi" {
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
