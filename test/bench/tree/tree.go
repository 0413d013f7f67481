// Package tree is the product that travels in measurements: a copy of a folder, as
// a package's source, with what is known of its content.
package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Product is the id of the product that travels.
const Product = "toolchain"

const controlFile = `[Package]
version = "1"

[Product]
type = "LocalbootProduct"
id = "` + Product + `"
name = "Sources of a toolchain"
version = %q
setupScript = "setup.sh"
`

// Tree is the product's source folder, with what is known of its content.
type Tree struct {
	Dir     string // holds OPSI and CLIENT_DATA
	Version string
	Files   []string // paths below content
	Folders []string // the same
	Bytes   int64
}

// Content is the folder that travels.
func (t *Tree) Content() string { return filepath.Join(t.Dir, "CLIENT_DATA") }

// Copy makes a product of a copy of a folder, in a scratch folder.
func Copy(source, scratch string) (*Tree, error) {
	t := &Tree{Dir: filepath.Join(scratch, "product")}
	if err := os.MkdirAll(t.Content(), 0o755); err != nil {
		return nil, err
	}
	if err := os.CopyFS(filepath.Join(t.Content(), "src"), os.DirFS(source)); err != nil {
		return nil, fmt.Errorf("cannot copy the source: %w", err)
	}
	if err := os.WriteFile(filepath.Join(t.Content(), "setup.sh"), []byte("echo nothing is installed by a measurement\n"), 0o644); err != nil {
		return nil, err
	}
	return t, t.Release("1.0")
}

// Release writes the product's control file and counts its content.
func (t *Tree) Release(version string) error {
	t.Version, t.Files, t.Folders, t.Bytes = version, nil, nil, 0
	if err := os.MkdirAll(filepath.Join(t.Dir, "OPSI"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.Dir, "OPSI", "control.toml"), fmt.Appendf(nil, controlFile, version), 0o644); err != nil {
		return err
	}
	return fs.WalkDir(os.DirFS(t.Content()), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			t.Folders = append(t.Folders, path)
		case d.Type().IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			t.Files = append(t.Files, path)
			t.Bytes += info.Size()
		}
		return nil
	})
}

// Edit changes ten files spread over the tree, in the middle and at the end,
// adds one and removes one.
func (t *Tree) Edit() error {
	var text []string
	for _, name := range t.Files {
		if strings.HasSuffix(name, ".go") {
			text = append(text, name)
		}
	}
	if len(text) < 100 {
		return errors.New("the source has too few Go files to change some")
	}
	for i := range 10 {
		path := filepath.Join(t.Content(), filepath.FromSlash(text[len(text)*(2*i+1)/20]))
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		middle := strings.LastIndexByte(string(data[:len(data)/2]), '\n') + 1
		changed := string(data[:middle]) + "// A line that was not here before.\n" + string(data[middle:]) + "\n// And one at the end.\n"
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(t.Content(), filepath.FromSlash(text[len(text)/3]))); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.Content(), "src", "NEW"), []byte("This file is new.\n"), 0o644); err != nil {
		return err
	}
	return t.Release("1.1")
}

// Same tells whether a folder holds what the tree does, byte by byte.
func (t *Tree) Same(dir string) error { return t.SameIn(t.Content(), dir) }

// SameIn is Same for a part of the tree.
func (t *Tree) SameIn(source, dir string) error {
	n := 0
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		n++
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		if err != nil {
			return err
		}
		want, err := os.ReadFile(filepath.Join(source, filepath.FromSlash(path)))
		if err == nil && string(got) != string(want) {
			err = fmt.Errorf("%s differs", path)
		}
		return err
	})
	if err == nil && n != len(t.Files) {
		err = fmt.Errorf("%d files, want %d", n, len(t.Files))
	}
	if err != nil {
		return fmt.Errorf("what arrived in %s is not what was sent: %w", dir, err)
	}
	return nil
}
