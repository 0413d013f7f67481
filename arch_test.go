// Package fernwerk_test holds the rules of the house: who may import whom, what the agent links,
// where SQL stands, and how large and how tidy a package may be. HACKING.md tells the reasons; a
// rule that stands only in prose is forgotten.
//
// Each rule is a function over a [house]. TestHouse applies all of them to the module as it is on
// Linux, Windows and macOS; TestEachRuleFires shows each failing on a small made-up one.
package fernwerk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fernwerk/fernwerk"

var systems = []string{"linux", "windows", "darwin"}

// A house is the module as the rules see it.
type house struct {
	packages []*room
	agent    map[string]bool // paths of the modules that cmd/fernwerk-agent links on any system
	sql      []string        // paths of the files that end in .sql
}

// A room is one package: its folder in the module ("." is the module itself), what its files that
// are no tests import directly on any of the systems, and all its files.
type room struct {
	folder  string
	imports map[string]bool
	files   []*file
}

type file struct {
	name  string
	lines int
	set   *token.FileSet
	ast   *ast.File
}

func (f *file) test() bool { return strings.HasSuffix(f.name, "_test.go") }

// own returns the folder of an import path of this module.
func own(importPath string) (folder string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// places returns the folders that the rules name.
func places() []string {
	folders := slices.Concat(engines, slices.Collect(maps.Keys(siblingsAllowed)))
	for _, l := range table {
		folders = append(folders, l.dir)
	}
	return folders
}

// within says whether folder is dir or lies below it.
func within(folder, dir string) bool {
	return folder == dir || strings.HasPrefix(folder, dir+"/")
}

func withinAny(folder string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return within(folder, dir) })
}

func TestHouse(t *testing.T) {
	h, err := readHouse()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("every place that the rules name exists", func(t *testing.T) {
		for _, place := range places() {
			if !slices.ContainsFunc(h.packages, func(r *room) bool { return within(r.folder, place) }) {
				t.Errorf("%s is gone: a rule about nothing holds always", place)
			}
		}
	})
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, fault := range rule.check(h) {
				t.Errorf("%s\n\twhy: %s", fault, rule.why)
			}
		})
	}
}

func readHouse() (*house, error) {
	h := &house{agent: make(map[string]bool)}
	rooms := make(map[string]*room)
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch base := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin"):
			return filepath.SkipDir
		case strings.HasSuffix(base, ".sql"):
			h.sql = append(h.sql, filepath.ToSlash(name))
		case strings.HasSuffix(base, ".go"):
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			f, err := parse(base, text)
			if err != nil {
				return err
			}
			folder := path.Dir(filepath.ToSlash(name))
			if rooms[folder] == nil {
				rooms[folder] = &room{folder: folder, imports: make(map[string]bool)}
				h.packages = append(h.packages, rooms[folder])
			}
			rooms[folder].files = append(rooms[folder].files, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, system := range systems {
		pkgs, err := goList(system, "./...")
		if err != nil {
			return nil, err
		}
		for _, p := range pkgs {
			folder, _ := own(p.ImportPath)
			for _, imported := range p.Imports {
				rooms[folder].imports[imported] = true
			}
		}
		if rooms["cmd/fernwerk-agent"] == nil {
			continue // the rule about what it links says so
		}
		linked, err := goList(system, "-deps", "./cmd/fernwerk-agent")
		if err != nil {
			return nil, err
		}
		for _, p := range linked {
			if p.Module != nil && p.Module.Path != module {
				h.agent[p.Module.Path] = true
			}
		}
	}
	return h, nil
}

func parse(name string, text []byte) (*file, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &file{name: name, lines: bytes.Count(text, []byte("\n")), set: set, ast: tree}, nil
}

// listed is what the rules need of a package that go list prints.
type listed struct {
	ImportPath string
	Imports    []string
	Module     *struct{ Path string }
}

func goList(system string, args ...string) ([]listed, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Module"}, args...)...)
	cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list packages for %s: %w\n%s", system, err, &stderr)
	}
	var pkgs []listed
	for stream := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := stream.Decode(&p); {
		case errors.Is(err, io.EOF):
			return pkgs, nil
		case err != nil:
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
}

// each calls visit for every syntax node of the files that want accepts, with its position.
func (h *house) each(want func(*room, *file) bool, visit func(r *room, f *file, at string, n ast.Node)) {
	for _, r := range h.packages {
		for _, f := range r.files {
			if !want(r, f) {
				continue
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if n != nil {
					visit(r, f, fmt.Sprintf("%s:%d", path.Join(r.folder, f.name), f.set.Position(n.Pos()).Line), n)
				}
				return true
			})
		}
	}
}

// sorted returns the keys of a set in order.
func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
