package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// Mismatch is one object of a folder that is not as the manifest says.
type Mismatch struct {
	Path string
	Why  string
}

// Verify reads everything in a folder, some files at once, and lists in path
// order what is missing, different or too much. An error means that it could not
// look. Where links were replaced by copies the manifest is that of
// chunkindex.Index.WithoutLinks.
func Verify(ctx context.Context, root *os.Root, tree *manifest.Manifest) ([]Mismatch, error) {
	v := &verification{root: root}
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	for _, e := range tree.Entries {
		if working.Err() != nil {
			break
		}
		g.Go(func() error {
			why, err := v.entry(working, e)
			v.note(e.Path, why)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("cannot verify %q: %w", root.Name(), err)
	}
	err := fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || path == "." {
			return err
		}
		if _, ok := tree.Find(path); ok {
			return nil
		}
		v.note(path, "does not belong here")
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot verify %q: %w", root.Name(), err)
	}
	slices.SortFunc(v.list, func(a, b Mismatch) int { return strings.Compare(a.Path, b.Path) })
	return v.list, nil
}

type verification struct {
	root *os.Root
	mu   sync.Mutex
	list []Mismatch
}

func (v *verification) note(path, why string) {
	if why == "" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = append(v.list, Mismatch{path, why})
}

// entry says what is wrong with one entry, or nothing.
func (v *verification) entry(ctx context.Context, e manifest.Entry) (why string, err error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	info, err := v.root.Lstat(e.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing", nil
	case err != nil: // for instance below a file, or behind a link
		return fmt.Sprintf("cannot be found: %v", err), nil
	}
	switch e.Type {
	case manifest.Dir:
		if !info.IsDir() {
			return "is no folder", nil
		}
		return "", nil
	case manifest.Link:
		if info.Mode().Type() != fs.ModeSymlink {
			return "is no link", nil
		}
		if target, err := v.root.Readlink(e.Path); err != nil || target != e.Target {
			return fmt.Sprintf("leads to %q, not to %q", target, e.Target), nil
		}
		return "", nil
	}
	switch {
	case !info.Mode().IsRegular():
		return "is no file", nil
	case info.Size() != e.Size:
		return fmt.Sprintf("has %d bytes, not %d", info.Size(), e.Size), nil
	case runtime.GOOS != "windows" && (info.Mode()&0o100 != 0) != (e.Type == manifest.Exec):
		return "has the wrong executable bit", nil
	}
	f, err := v.root.Open(e.Path)
	if err != nil {
		return fmt.Sprintf("cannot be opened: %v", err), nil
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, e.Size+1)); err != nil {
		return fmt.Sprintf("cannot be read: %v", err), nil
	}
	if [sha256.Size]byte(h.Sum(nil)) != e.Sum {
		return "has other content", nil
	}
	return "", nil
}
