package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// mkdir [-p] dir...
func mkdir(_ context.Context, args []string, io IO) error {
	opts, dirs, err := operands(args, "p", 1)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if opts.has("p") {
			err = os.MkdirAll(io.Path(dir), 0o777)
		} else {
			err = os.Mkdir(io.Path(dir), 0o777)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rmdir dir...: empty ones only.
func rmdir(_ context.Context, args []string, io IO) error {
	_, dirs, err := operands(args, "", 1)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		info, err := os.Lstat(io.Path(dir))
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		if err := os.Remove(io.Path(dir)); err != nil {
			return err
		}
	}
	return nil
}

// rm [-rRf] path...: never the root of a file system, nor the directory that
// the script is in or one above it; `rm -rf "$UNSET/"` is a mistake that many
// scripts have made.
func rm(ctx context.Context, args []string, io IO) error {
	opts, paths, err := split(args, "rRf")
	if err != nil {
		return err
	}
	if len(paths) == 0 && !opts.has("f") {
		return usageError("needs more arguments")
	}
	for _, arg := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if arg == "" {
			if opts.has("f") {
				continue
			}
			return errors.New("cannot remove an empty name")
		}
		path := io.Path(arg)
		if within(path, io.Dir) || filepath.Dir(path) == path {
			return fmt.Errorf("refuses to remove %s: it holds the working directory", arg)
		}
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && opts.has("f"):
			continue
		case err != nil:
			return err
		case info.IsDir() && !opts.has("rR"):
			return fmt.Errorf("%s is a directory (remove it with -r)", arg)
		case info.IsDir():
			err = os.RemoveAll(path)
		default:
			err = os.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// within reports whether path is dir or one of the directories above it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(path, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// touch file...: makes it, or sets its time to now.
func touch(_ context.Context, args []string, io IO) error {
	_, files, err := operands(args, "", 1)
	if err != nil {
		return err
	}
	for _, name := range files {
		path, now := io.Path(name), time.Now()
		err := os.Chtimes(path, now, now)
		if errors.Is(err, fs.ErrNotExist) {
			var f *os.File
			if f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666); err == nil {
				err = f.Close()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ls [-1aA] [path...]: names, one a line; hidden ones with -a.
func ls(_ context.Context, args []string, io IO) error {
	opts, paths, err := split(args, "1aA")
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for _, arg := range paths {
		info, err := os.Stat(io.Path(arg))
		if err != nil {
			return err
		}
		if !info.IsDir() {
			if _, err := fmt.Fprintln(io.Stdout, arg); err != nil {
				return err
			}
			continue
		}
		entries, err := os.ReadDir(io.Path(arg))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && !opts.has("aA") {
				continue
			}
			if _, err := fmt.Fprintln(io.Stdout, e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// ln [-s] [-f] target name: a link; on Windows -s copies, because making links
// there needs a privilege.
func ln(ctx context.Context, args []string, io IO) error {
	opts, names, err := operands(args, "sf", 2)
	if err != nil {
		return err
	}
	if len(names) > 2 {
		return usageError("takes one target and one name")
	}
	target, path := names[0], io.Path(names[1])
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, filepath.Base(filepath.FromSlash(target)))
	}
	if opts.has("f") {
		if info, err := os.Lstat(path); err == nil && !info.IsDir() {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	if !opts.has("s") {
		return os.Link(io.Path(target), path)
	}
	if runtime.GOOS != "windows" {
		return os.Symlink(target, path)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already", names[1])
	}
	// A link's target counts from the link's own folder.
	from := filepath.FromSlash(target)
	if !filepath.IsAbs(from) {
		from = filepath.Join(filepath.Dir(path), from)
	}
	return copyTree(ctx, from, path, copyRules{recursive: true})
}

// mv [-f] path... dest
func mv(ctx context.Context, args []string, io IO) error {
	_, paths, err := operands(args, "f", 2)
	if err != nil {
		return err
	}
	return eachInto(paths, io, func(from, to string) error {
		if info, err := os.Lstat(from); err == nil && info.IsDir() && within(from, to) && from != to {
			return fmt.Errorf("cannot move %s into itself", from)
		}
		err := os.Rename(from, to)
		if !errors.Is(err, errCrossDevice) {
			return err
		}
		if err := copyTree(ctx, from, to, copyRules{recursive: true, times: true, force: true}); err != nil {
			return err
		}
		return os.RemoveAll(from)
	})
}

// eachInto calls do for each source of a cp or mv: the last path is where they
// go, or the directory into which they go.
func eachInto(paths []string, io IO, do func(from, to string) error) error {
	last := paths[len(paths)-1]
	dest := io.Path(last)
	info, err := os.Stat(dest)
	into := err == nil && info.IsDir()
	if !into && (len(paths) > 2 || strings.HasSuffix(last, "/") && !isDir(io.Path(paths[0]))) {
		return fmt.Errorf("%s is not a directory", last)
	}
	for _, from := range paths[:len(paths)-1] {
		to := dest
		if into && !isSelf(from) {
			to = filepath.Join(dest, filepath.Base(io.Path(from)))
		}
		if err := do(io.Path(from), to); err != nil {
			return err
		}
	}
	return nil
}

// isSelf reports a path like "src/.", which stands for the contents.
func isSelf(path string) bool { return path == "." || strings.HasSuffix(path, "/.") }

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
