package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// copyRules are the options of a copy.
type copyRules struct {
	recursive bool
	force     bool // remove what cannot be overwritten
	times     bool // keep modification times
	links     bool // keep a named symbolic link a link; those inside a tree stay links anyhow
}

// cp [-rRapf] path... dest: -a is -r with modification times; permissions (the
// executable bit) and, in trees, symbolic links are always kept. Nothing is
// forced to disk: who needs that copies to a new folder and renames it.
func cp(ctx context.Context, args []string, io IO) error {
	opts, paths, err := operands(args, "rRapf", 2)
	if err != nil {
		return err
	}
	rules := copyRules{recursive: opts.has("rRa"), times: opts.has("ap"), force: opts.has("f"), links: opts.has("rRa")}
	return eachInto(paths, io, func(from, to string) error { return copyTree(ctx, from, to, rules) })
}

// copyTree copies a file, link or directory to the path to.
func copyTree(ctx context.Context, from, to string, rules copyRules) error {
	stat := os.Stat
	if rules.links {
		stat = os.Lstat
	}
	info, err := stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if !rules.recursive {
			return fmt.Errorf("%s is a directory (copy it with -r)", from)
		}
		if within(realPath(from), realPath(to)) {
			return fmt.Errorf("cannot copy %s into itself", from)
		}
	}
	c := copier{ctx: ctx, rules: rules, buffer: make([]byte, 256<<10)}
	return c.entry(from, to, info)
}

// realPath resolves the links of as much of path as exists.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(realPath(parent), filepath.Base(path))
	}
	return path
}

// copier copies one tree.
type copier struct {
	ctx    context.Context
	rules  copyRules
	buffer []byte // where the system cannot copy by itself
}

func (c *copier) entry(from, to string, info fs.FileInfo) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var err error
	switch {
	case info.IsDir():
		err = c.dir(from, to, info)
	case info.Mode().IsRegular():
		err = c.file(from, to, info)
	case info.Mode().Type() == fs.ModeSymlink:
		return c.link(from, to)
	default:
		return fmt.Errorf("cannot copy %s: it is neither file, directory nor link", from)
	}
	if err == nil && c.rules.times {
		err = os.Chtimes(to, info.ModTime(), info.ModTime())
	}
	return err
}

func (c *copier) dir(from, to string, info fs.FileInfo) error {
	// Writable while it is filled.
	err := os.Mkdir(to, info.Mode().Perm()|0o700)
	made := err == nil
	if errors.Is(err, fs.ErrExist) && isDir(to) {
		err = nil
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := c.entry(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), info); err != nil {
			return err
		}
	}
	if made && info.Mode().Perm()&0o700 != 0o700 {
		return os.Chmod(to, info.Mode().Perm())
	}
	return nil
}

func (c *copier) file(from, to string, info fs.FileInfo) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if there, err := os.Stat(to); err == nil {
		if os.SameFile(info, there) {
			return fmt.Errorf("%s and %s are the same file", from, to)
		}
		if there.IsDir() {
			return fmt.Errorf("cannot overwrite directory %s with a file", to)
		}
	}
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	dst, err := os.OpenFile(to, flags, info.Mode().Perm())
	if err != nil && c.rules.force && !errors.Is(err, fs.ErrNotExist) {
		if os.Remove(to) == nil {
			dst, err = os.OpenFile(to, flags, info.Mode().Perm())
		}
	}
	if err != nil {
		return err
	}
	// io.CopyBuffer hands the work to the kernel where it can.
	if _, err := io.CopyBuffer(dst, src, c.buffer); err != nil {
		dst.Close()
		return fmt.Errorf("cannot copy %s: %w", from, err)
	}
	return dst.Close()
}

func (c *copier) link(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	if there, err := os.Lstat(to); err == nil && !there.IsDir() {
		if err := os.Remove(to); err != nil {
			return err
		}
	}
	err = os.Symlink(target, to)
	if err == nil || runtime.GOOS != "windows" {
		return err
	}
	// No privilege to make links: what it leads to, then.
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() && within(realPath(from), realPath(to)) {
		return fmt.Errorf("cannot copy %s: the link leads to a folder that holds it", from)
	}
	return c.entry(from, to, info)
}
