package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// product is the id of the product that travels.
const product = "toolchain"

const controlFile = `[Package]
version = "1"

[Product]
type = "LocalbootProduct"
id = "` + product + `"
name = "Sources of a toolchain"
version = %q
setupScript = "setup.sh"
`

// tree is the product's source folder, with what is known of its content.
type tree struct {
	dir     string // holds OPSI and CLIENT_DATA
	version string
	files   []string // paths below content
	folders []string // the same
	bytes   int64
}

// content is the folder that travels.
func (t *tree) content() string { return filepath.Join(t.dir, "CLIENT_DATA") }

// copyTree makes a product of a copy of the source.
func (b *bench) copyTree(ctx context.Context) (*tree, error) {
	if b.source == "" {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return nil, fmt.Errorf("cannot find the Go toolchain's src: %w", err)
		}
		b.source = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	t := &tree{dir: filepath.Join(b.scratch, "product")}
	if err := os.MkdirAll(t.content(), 0o755); err != nil {
		return nil, err
	}
	if err := os.CopyFS(filepath.Join(t.content(), "src"), os.DirFS(b.source)); err != nil {
		return nil, fmt.Errorf("cannot copy the source: %w", err)
	}
	if err := os.WriteFile(filepath.Join(t.content(), "setup.sh"), []byte("echo nothing is installed by a measurement\n"), 0o644); err != nil {
		return nil, err
	}
	return t, t.release("1.0")
}

// release writes the product's control file and counts its content.
func (t *tree) release(version string) error {
	t.version, t.files, t.folders, t.bytes = version, nil, nil, 0
	if err := os.MkdirAll(filepath.Join(t.dir, "OPSI"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.dir, "OPSI", "control.toml"), fmt.Appendf(nil, controlFile, version), 0o644); err != nil {
		return err
	}
	return fs.WalkDir(os.DirFS(t.content()), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			t.folders = append(t.folders, path)
		case d.Type().IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			t.files = append(t.files, path)
			t.bytes += info.Size()
		}
		return nil
	})
}

// edit changes ten files spread over the tree, in the middle and at the end,
// adds one and removes one.
func (t *tree) edit() error {
	var text []string
	for _, name := range t.files {
		if strings.HasSuffix(name, ".go") {
			text = append(text, name)
		}
	}
	if len(text) < 100 {
		return errors.New("the source has too few Go files to change some")
	}
	for i := range 10 {
		path := filepath.Join(t.content(), filepath.FromSlash(text[len(text)*(2*i+1)/20]))
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
	if err := os.Remove(filepath.Join(t.content(), filepath.FromSlash(text[len(text)/3]))); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.content(), "src", "NEW"), []byte("This file is new.\n"), 0o644); err != nil {
		return err
	}
	return t.release("1.1")
}

// compressed is the size of the tree as `tar | zstd -3` sends it, by the real
// programs.
func (b *bench) compressed(ctx context.Context, t *tree) (int64, error) {
	for _, name := range []string{"tar", "zstd"} {
		if _, err := exec.LookPath(name); err != nil {
			return 0, err
		}
	}
	tar := exec.CommandContext(ctx, "tar", "-C", t.dir, "-cf", "-", "CLIENT_DATA")
	zstd := exec.CommandContext(ctx, "zstd", "-3", "-q", "-c")
	b.say("$ %s | %s | wc -c", strings.Join(tar.Args, " "), strings.Join(zstd.Args, " "))
	var err error
	if zstd.Stdin, err = tar.StdoutPipe(); err != nil {
		return 0, err
	}
	var size counter
	zstd.Stdout = &size
	if err := zstd.Start(); err != nil {
		return 0, err
	}
	err = tar.Run()
	return int64(size), errors.Join(err, zstd.Wait())
}

// counter counts what is written to it.
type counter int64

var _ io.Writer = (*counter)(nil)

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// same tells whether a folder holds what the tree does, byte by byte.
func (t *tree) same(dir string) error { return t.sameIn(t.content(), dir) }

func (t *tree) sameIn(source, dir string) error {
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
	if err == nil && n != len(t.files) {
		err = fmt.Errorf("%d files, want %d", n, len(t.files))
	}
	if err != nil {
		return fmt.Errorf("what arrived in %s is not what was sent: %w", dir, err)
	}
	return nil
}
