package depot

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/fstest"

	"github.com/fernwerk/fernwerk/internal/fleet/archive"
)

// BenchmarkInstall installs the Go toolchain's sources (11,500 files, 133 MB) as
// a first version and over themselves.
func BenchmarkInstall(b *testing.B) {
	src := productOf{os.DirFS(filepath.Join(runtime.GOROOT(), "src")), fstest.MapFS{
		"OPSI/control": {Data: fmt.Appendf(nil, controlText, "1.0", "1", "")},
	}}
	var pack bytes.Buffer
	built, err := archive.Build(b.Context(), &pack, src, archive.Options{Temp: func() (archive.Temp, error) {
		return os.CreateTemp(b.TempDir(), "layer")
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(built.Manifest.Size())
	b.Logf("%d files, %d bytes, package %d bytes", built.Manifest.Files(), built.Manifest.Size(), pack.Len())
	p := newPlace(b)
	for b.Loop() {
		if _, err := p.Install(b.Context(), tester, "editor_1.0-1.opsi", bytes.NewReader(pack.Bytes()), int64(pack.Len()), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// productOf is a product's source folder whose CLIENT_DATA lies elsewhere.
type productOf struct {
	data fs.FS
	rest fs.FS
}

func (p productOf) Open(name string) (fs.File, error) {
	if name == "." {
		return fstest.MapFS{"OPSI": {Mode: fs.ModeDir | 0o755}, "CLIENT_DATA": {Mode: fs.ModeDir | 0o755}}.Open(name)
	}
	if name == "CLIENT_DATA" {
		return p.data.Open(".")
	}
	if rest, ok := cutDir(name, "CLIENT_DATA"); ok {
		return p.data.Open(rest)
	}
	return p.rest.Open(name)
}

func cutDir(name, dir string) (string, bool) {
	if len(name) > len(dir) && name[:len(dir)+1] == dir+"/" {
		return name[len(dir)+1:], true
	}
	return "", false
}
