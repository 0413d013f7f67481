package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits of what another machine may have written.
const (
	maxContents = 256 << 20
	maxMembers  = 5_000_000
	maxWindow   = 64 << 20
)

// Check reads a whole backup and compares it with its sums.
func Check(ctx context.Context, file string) (*Contents, error) {
	c, err := check(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("cannot use the backup %s: %w", file, err)
	}
	return c, nil
}

func check(ctx context.Context, file string) (*Contents, error) {
	var c *Contents
	var found []Member
	err := each(ctx, file, func(h *tar.Header, r io.Reader) error {
		if c != nil {
			return damaged("something follows its end")
		}
		switch {
		case h.Name == contentsFile:
			text, err := io.ReadAll(io.LimitReader(r, maxContents))
			if err != nil {
				return err
			}
			c = &Contents{}
			if err := json.Unmarshal(text, c); err != nil {
				return damaged("its contents are not readable: %w", err)
			}
		case h.Typeflag == tar.TypeReg:
			sum := sha256.New()
			n, err := io.Copy(sum, r)
			if err != nil {
				return err
			}
			if found = append(found, Member{h.Name, n, hex.EncodeToString(sum.Sum(nil))}); len(found) > maxMembers {
				return damaged("it has more than %d members", maxMembers)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case c == nil:
		return nil, damaged("its end is missing")
	case c.Layout > layout:
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "it has layout %d, this program knows %d", c.Layout, layout), "version %s wrote it: use that, or a newer one", c.Program)
	case !slices.Equal(found, c.Members):
		return nil, damaged("its members are not those that its contents name")
	case !slices.ContainsFunc(found, func(m Member) bool { return m.Name == rowsFile }):
		return nil, damaged("it has no rows")
	}
	return c, nil
}

// each calls fn for every member, whose name is checked.
func each(ctx context.Context, file string, fn func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	unpacked, err := zstd.NewReader(&cancelled{ctx, f}, zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer unpacked.Close()
	in := tar.NewReader(unpacked)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return damaged("it is not readable: %w", err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if name != path.Clean(name) || !fs.ValidPath(name) || name == "." {
			return damaged("it has a member %.100q", h.Name)
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeDir, tar.TypeSymlink:
		default:
			return damaged("its member %.100q is no file, folder or link", h.Name)
		}
		if err := fn(h, in); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
}

// Extract puts all members but rows and contents into an empty folder, and gives
// the rows to load.
func Extract(ctx context.Context, file, dir string, load func(io.Reader) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	type folder struct {
		name string
		h    *tar.Header
	}
	var folders []folder // get their times at the end
	err = each(ctx, file, func(h *tar.Header, r io.Reader) error {
		name := strings.TrimSuffix(h.Name, "/")
		switch {
		case name == contentsFile:
			return nil
		case name == rowsFile:
			return load(r)
		case h.Typeflag == tar.TypeDir:
			folders = append(folders, folder{name, h})
			return root.MkdirAll(name, 0o700)
		}
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeSymlink {
			return root.Symlink(h.Linkname, name)
		}
		mode := h.FileInfo().Mode().Perm()
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
			return err
		}
		return root.Chtimes(name, h.ModTime, h.ModTime)
	})
	if err != nil {
		return fmt.Errorf("cannot unpack the backup %s: %w", file, err)
	}
	for _, d := range slices.Backward(folders) {
		if err := errors.Join(root.Chmod(d.name, d.h.FileInfo().Mode().Perm()), root.Chtimes(d.name, d.h.ModTime, d.h.ModTime)); err != nil {
			return err
		}
	}
	return nil
}
