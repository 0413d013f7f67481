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
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// syncing is one Sync under way.
type syncing struct {
	Job
	x    *chunkindex.Index // of the tree to be, without links where they are copied
	tree [sha256.Size]byte // what the sources call it
	root *os.Root

	files  []file  // by entry
	places []place // where chunks are missing, by chunk; filled from the front
	out    output
	small  small

	folders    sync.WaitGroup // while they are made, see foldersReady
	foldersErr error

	mu       sync.Mutex // of progress and result, while several work
	progress Progress
	result   Result
	wire     atomic.Int64
}

// file is the state of a regular file in the staging folder.
type file struct {
	there   bool   // exists, with no other name that shares its content
	missing int    // chunks
	right   []bool // by position, which chunks are right; nil for none or all
}

func (s *syncing) begin() {
	s.files = make([]file, len(s.x.Tree.Entries))
	for i := range s.files {
		s.files[i].missing = len(s.x.Of(i))
	}
	s.progress.FilesTotal = s.x.Tree.Files()
	s.progress.BytesTotal = s.x.Tree.Size()
}

// advance counts files and bytes that have become right, and bytes that a part
// of the result cost; the two differ where something was thrown away.
func (s *syncing) advance(files int, right, cost int64, kind *int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*kind += cost
	s.progress.FilesDone += files
	s.progress.BytesDone += right
	s.progress.WireBytes = s.wire.Load()
	if s.Progress != nil {
		s.Progress(s.progress)
	}
}

// workers calls f for each entry for which want is true, some at once: disks and
// hashes are slow, and the machine has somebody else's work to do as well.
func (s *syncing) workers(ctx context.Context, want func(i int) bool, f func(i int) error) error {
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	for i := range s.files {
		if working.Err() != nil {
			break
		}
		if want(i) {
			g.Go(func() error { return f(i) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// keep removes what does not belong into the staging folder, makes the folders,
// and finds out what of the files is right.
func (s *syncing) keep(ctx context.Context) error {
	found := make(map[int]bool)
	err := fs.WalkDir(s.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || path == "." {
			return err
		}
		i, ok := slices.BinarySearchFunc(s.x.Tree.Entries, path, func(e manifest.Entry, path string) int {
			switch {
			case e.Path < path:
				return -1
			case e.Path > path:
				return 1
			}
			return 0
		})
		if ok && s.fits(s.x.Tree.Entries[i], d) {
			found[i] = true
			return nil
		}
		if err := s.root.RemoveAll(path); err != nil {
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.folders.Go(func() { s.foldersErr = s.makeFolders(found) })
	return s.workers(ctx, func(i int) bool { return found[i] && s.x.Tree.Entries[i].Type.Regular() }, s.examine)
}

// makeFolders makes the folders that were not found. A thousand of them take as
// long as some round trips, so this runs while the first request is under way.
func (s *syncing) makeFolders(found map[int]bool) error {
	for i, e := range s.x.Tree.Entries {
		if e.Type != manifest.Dir {
			continue
		}
		if !found[i] {
			if err := s.root.Mkdir(e.Path, 0o755); err != nil {
				return err
			}
		}
		if err := s.chmod(e); err != nil {
			return err
		}
	}
	return nil
}

// foldersReady waits until files can be made.
func (s *syncing) foldersReady() error {
	s.folders.Wait()
	return s.foldersErr
}

// fits reports whether what lies at an entry's path can stay.
func (s *syncing) fits(e manifest.Entry, d fs.DirEntry) bool {
	switch e.Type {
	case manifest.Dir:
		return d.IsDir()
	case manifest.Link:
		target, err := s.root.Readlink(e.Path)
		return err == nil && d.Type() == fs.ModeSymlink && target == e.Target
	}
	return d.Type().IsRegular()
}

func mode(t manifest.Type) fs.FileMode {
	if t == manifest.File {
		return 0o644
	}
	return 0o755
}

// chmod gives an entry its mode, if an earlier hand or the umask gave it another.
func (s *syncing) chmod(e manifest.Entry) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	info, err := s.root.Lstat(e.Path)
	if err != nil || info.Mode().Perm() == mode(e.Type) {
		return err
	}
	return s.root.Chmod(e.Path, mode(e.Type))
}

// examine hashes a file of the staging folder.
func (s *syncing) examine(i int) error {
	e := s.x.Tree.Entries[i]
	info, err := s.root.Lstat(e.Path)
	if err != nil {
		return err
	}
	right, n, whole, err := s.compare(s.root, e.Path, i)
	if err != nil {
		return err
	}
	alone := links(info) == 1
	complete := whole && info.Size() == e.Size
	if !complete && (n == 0 || !alone || whole || n == len(right)) {
		// Nothing is right, or the file must not be written to because it is
		// another one's too, or all is right but the sum of all: start again.
		return s.root.Remove(e.Path)
	}
	if !complete {
		if info.Size() > e.Size {
			f, err := s.root.OpenFile(e.Path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			if err := errors.Join(f.Truncate(e.Size), f.Close()); err != nil {
				return err
			}
		}
		s.files[i] = file{there: true, missing: len(right) - n, right: right}
		s.advance(0, s.sizeOf(i, right), s.sizeOf(i, right), &s.result.Kept)
		return s.chmod(e)
	}
	s.files[i] = file{there: true}
	if info.Mode().Perm() != mode(e.Type) && !alone {
		s.files[i] = file{missing: len(s.x.Of(i))} // a mode belongs to all names of a file
		return s.root.Remove(e.Path)
	}
	s.advance(1, e.Size, e.Size, &s.result.Kept)
	return s.chmod(e)
}

// compare reads a file chunk by chunk: which are right, how many, and whether
// the beginning of the file is the whole of the entry i.
func (s *syncing) compare(root *os.Root, path string, i int) (right []bool, n int, whole bool, err error) {
	f, err := root.Open(path)
	if err != nil {
		return nil, 0, false, err
	}
	defer f.Close()
	refs := s.x.Of(i)
	right = make([]bool, len(refs))
	sum := sha256.New()
	buf := make([]byte, min(s.x.Tree.Entries[i].Size, chunkindex.MaxChunk))
	for k, ref := range refs {
		c := s.x.Chunks[ref]
		if _, err := io.ReadFull(f, buf[:c.Size]); err == io.EOF || err == io.ErrUnexpectedEOF {
			return right, n, false, nil
		} else if err != nil {
			return nil, 0, false, err
		}
		if sha256.Sum256(buf[:c.Size]) == c.Sum {
			right[k] = true
			n++
		}
		if len(refs) > 1 {
			sum.Write(buf[:c.Size])
		}
	}
	if len(refs) == 1 { // the chunk is the file
		return right, n, n == 1, nil
	}
	return right, n, [sha256.Size]byte(sum.Sum(nil)) == s.x.Tree.Entries[i].Sum, nil
}

func (s *syncing) sizeOf(i int, right []bool) int64 {
	var n int64
	for k, ref := range s.x.Of(i) {
		if right[k] {
			n += int64(s.x.Chunks[ref].Size)
		}
	}
	return n
}

// rest makes the empty files and, last, the links: until here nothing in the
// folder could lead a path elsewhere.
func (s *syncing) rest(context.Context) error {
	if err := s.foldersReady(); err != nil {
		return err
	}
	for i, e := range s.x.Tree.Entries {
		if !e.Type.Regular() || e.Size > 0 || s.files[i].there {
			continue
		}
		if e.Sum != sha256.Sum256(nil) {
			return fleet.Errorf(fleet.Invalid, "the manifest names another sum than that of nothing for %q, which is empty", e.Path)
		}
		if err := s.create(i); err != nil {
			return err
		}
		s.advance(1, 0, 0, &s.result.Kept)
	}
	for _, e := range s.x.Tree.Entries {
		if e.Type != manifest.Link {
			continue
		}
		if target, err := s.root.Readlink(e.Path); err == nil && target == e.Target {
			continue // kept
		}
		if err := s.root.Symlink(e.Target, e.Path); err != nil {
			return fmt.Errorf("cannot make the link %q: %w", e.Path, err)
		}
	}
	return nil
}
