package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// tree is the source folder of one product.
type tree struct {
	id, version string
	dir         string // holds OPSI and CLIENT_DATA
}

// source is the folder that travels: the Go toolchain's own src, which every
// machine has that builds Fernwerk.
func (d *demo) source(ctx context.Context) (string, error) {
	if d.Source != "" {
		return filepath.Abs(d.Source)
	}
	var candidates []string
	if out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(out)))
	}
	candidates = append(candidates, os.Getenv("GOROOT"), "/usr/local/go", "/usr/lib/go", `C:\Program Files\Go`)
	for _, root := range candidates {
		src, err := filepath.EvalSymlinks(filepath.Join(root, "src"))
		if root == "" || err != nil {
			continue
		}
		if info, err := os.Stat(filepath.Join(src, "runtime", "proc.go")); err == nil && info.Mode().IsRegular() {
			return src, nil
		}
	}
	return "", errors.New("cannot find the Go toolchain's src on this machine: name a folder with --source DIR")
}

// walk visits the regular files and links below dir, with slash-separated names.
func walk(ctx context.Context, dir string, visit func(name string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(name), info)
	})
}

// sizeOf counts what lies below dir.
func sizeOf(ctx context.Context, dir string) (files int, size int64, err error) {
	err = walk(ctx, dir, func(_ string, info fs.FileInfo) error {
		if info.Mode().IsRegular() {
			files, size = files+1, size+info.Size()
		}
		return nil
	})
	return files, size, err
}

// copyTree copies a folder: contents, the executable bit and links.
func copyTree(ctx context.Context, from, to string) error {
	return walk(ctx, from, func(name string, info fs.FileInfo) error {
		target := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		source := filepath.Join(from, filepath.FromSlash(name))
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			link, err := os.Readlink(source)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case !info.Mode().IsRegular():
			return nil // a socket or device that somebody keeps there
		}
		return copyFile(source, target, 0o644|info.Mode().Perm()&0o111)
	})
}

func copyFile(from, to string, perm fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// compare compares two folders file by file, and returns how many are equal and
// their bytes. Any difference is an error that names it.
func compare(ctx context.Context, want, got string) (files int, size int64, err error) {
	names := map[string]bool{}
	err = walk(ctx, want, func(name string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink {
			return nil
		}
		names[name] = true
		a, b := filepath.Join(want, filepath.FromSlash(name)), filepath.Join(got, filepath.FromSlash(name))
		other, err := os.Lstat(b)
		if err != nil {
			return fmt.Errorf("%s is not installed: %w", name, err)
		}
		if info.Mode().Type() == fs.ModeSymlink {
			return sameLink(name, a, b)
		}
		if !other.Mode().IsRegular() || other.Size() != info.Size() {
			return fmt.Errorf("%s has %d bytes (%v), the source %d", name, other.Size(), other.Mode().Type(), info.Size())
		}
		if runtime.GOOS != "windows" && info.Mode()&0o111 != 0 != (other.Mode()&0o111 != 0) {
			return fmt.Errorf("%s: executable in one, not in the other", name)
		}
		if err := sameContent(name, a, b); err != nil {
			return err
		}
		files, size = files+1, size+info.Size()
		return nil
	})
	if err != nil {
		return files, size, err
	}
	err = walk(ctx, got, func(name string, _ fs.FileInfo) error {
		if !names[name] {
			return fmt.Errorf("%s is installed, but not in the source", name)
		}
		return nil
	})
	return files, size, err
}

func sameLink(name, a, b string) error {
	x, errX := os.Readlink(a)
	y, errY := os.Readlink(b)
	if err := errors.Join(errX, errY); err != nil || x != y {
		return fmt.Errorf("%s: the links differ: %q, %q (%v)", name, x, y, err)
	}
	return nil
}

func sameContent(name, a, b string) error {
	x, errX := digest(a)
	y, errY := digest(b)
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return fmt.Errorf("%s differs from the source: SHA-256 %x, not %x", name, y, x)
	}
	return nil
}

func digest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
