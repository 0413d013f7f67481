package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/fernwerk/fernwerk/internal/fleet/archive"
)

// Content is something that a package is made with.
type Content func(*source)

type source struct {
	files   fstest.MapFS // of CLIENT_DATA
	opsi    fstest.MapFS
	product []string // further lines of [Product]
	tables  string   // further tables
}

// Files are files of the product, by path.
func Files(files map[string]string) Content {
	return func(s *source) {
		for name, text := range files {
			s.files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		}
	}
}

// Script is the product's script for an action, for the built-in shell.
func Script(action, text string) Content {
	return func(s *source) {
		name := action + ".sh"
		s.files[name] = &fstest.MapFile{Data: []byte(text + "\n"), Mode: 0o644}
		s.product = append(s.product, fmt.Sprintf("%sScript = %q", action, name))
	}
}

// Setup is the product's setup script.
func Setup(text string) Content { return Script("setup", text) }

// Needs says that another product must be set up before.
func Needs(product string) Content {
	return func(s *source) {
		s.tables += fmt.Sprintf("\n[[ProductDependency]]\naction = \"setup\"\nrequiredProduct = %q\nrequiredAction = \"setup\"\nrequirementType = \"before\"\n", product)
	}
}

// Property gives the product a property of one text.
func Property(id, value string) Content {
	return func(s *source) {
		s.tables += fmt.Sprintf("\n[[ProductProperty]]\ntype = \"UnicodeProductProperty\"\nname = %q\nmultivalue = false\neditable = true\ndescription = \"\"\nvalues = [%q]\ndefault = [%q]\n", id, value, value)
	}
}

// Postinst is a script that the server runs when it has installed the package.
func Postinst(text string) Content {
	return func(s *source) { s.opsi["postinst"] = &fstest.MapFile{Data: []byte(text), Mode: 0o755} }
}

// Link is a symbolic link of the product.
func Link(name, target string) Content {
	return func(s *source) {
		s.files[name] = &fstest.MapFile{Data: []byte(target), Mode: os.ModeSymlink | 0o777}
	}
}

// Installed is what the server says of an installed package.
type Installed struct {
	Product  string `json:"product"`
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"`
	Replaced string `json:"replaced"`
}

// Package builds a package and installs it on the server's depot.
func (l *Lab) Package(id, version string, contents ...Content) Installed {
	l.t.Helper()
	name, data := l.Built(id, version, contents...)
	return l.Install(name, bytes.NewReader(data))
}

// Built builds a package, and returns its file's name and content.
func (l *Lab) Built(id, version string, contents ...Content) (name string, data []byte) {
	l.t.Helper()
	s := &source{files: fstest.MapFS{}, opsi: fstest.MapFS{}}
	for _, c := range contents {
		c(s)
	}
	control := fmt.Sprintf("[Package]\nversion = \"1\"\n\n[Product]\ntype = \"LocalbootProduct\"\nid = %q\nname = %q\nversion = %q\n%s\n%s",
		id, id, version, strings.Join(s.product, "\n"), s.tables)
	all := fstest.MapFS{"OPSI/control.toml": {Data: []byte(control), Mode: 0o644}, "CLIENT_DATA": {Mode: os.ModeDir | 0o755}}
	for name, f := range s.opsi {
		all["OPSI/"+name] = f
	}
	for name, f := range s.files {
		all["CLIENT_DATA/"+name] = f
	}
	dir := l.t.TempDir()
	var out bytes.Buffer
	_, err := archive.Build(l.t.Context(), &out, all, archive.Options{Temp: func() (archive.Temp, error) { return os.CreateTemp(dir, "layer") }})
	if err != nil {
		l.t.Fatalf("package %s: %v", id, err)
	}
	return fmt.Sprintf("%s_%s-1.opsi", id, version), out.Bytes()
}

// Install uploads a package.
func (l *Lab) Install(name string, body io.Reader) (report Installed) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), "PUT", l.Server.URL()+"/v1/packages/"+name, body)
	if err != nil {
		l.t.Fatal(err)
	}
	resp := l.Server.do(req)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil {
		l.t.Fatalf("package %s: %v", name, err)
	}
	return report
}

// Noise is content that no compression makes smaller; another seed is other
// content.
func Noise(seed string, size int) string {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", seed)))).Read(data)
	return string(data)
}

// Tree is what a folder holds, by path: the content of files, "-> target" of
// links, "/" of folders.
func (l *Lab) Tree(dir string) map[string]string {
	l.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir():
			found[name] = "/"
		case d.Type() == os.ModeSymlink:
			target, err := os.Readlink(path)
			found[name] = "-> " + target
			return err
		default:
			data, err := os.ReadFile(path)
			found[name] = string(data)
			return err
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return found
}

// Differ lists the paths that two trees do not have alike.
func Differ(a, b map[string]string) []string {
	names := map[string]bool{}
	for _, tree := range []map[string]string{a, b} {
		for name := range tree {
			if va, oka := a[name]; !oka || b[name] != va {
				names[name] = true
			} else if _, okb := b[name]; !okb {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
