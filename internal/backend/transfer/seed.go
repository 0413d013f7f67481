package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// takeFiles links files of which nothing is there to equal ones of disposable
// seeds. A seed that cannot be read, or is not what its index says, has nothing
// to give, and that is all.
func (s *syncing) takeFiles(ctx context.Context) error {
	for _, seed := range s.Seeds {
		if err := s.foldersReady(); err != nil {
			return err
		}
		if !canLink || !seed.Disposable {
			continue // its chunks are copied
		}
		root, err := os.OpenRoot(seed.Dir)
		if err != nil {
			continue
		}
		bySum := make(map[[sha256.Size]byte]manifest.Entry)
		for _, e := range seed.Index.Tree.Entries {
			if e.Type.Regular() && e.Size > 0 {
				bySum[e.Sum] = e
			}
		}
		err = s.workers(ctx, func(i int) bool {
			e := s.x.Tree.Entries[i]
			_, ok := bySum[e.Sum]
			return ok && e.Type.Regular() && !s.files[i].there
		}, func(i int) error { return s.takeFile(seed, root, bySum[s.x.Tree.Entries[i].Sum], i) })
		root.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// takeFile links the entry i to a seed's file, if that is right and has the
// right mode, which all names of a file share.
func (s *syncing) takeFile(seed Seed, root *os.Root, from manifest.Entry, i int) error {
	e := s.x.Tree.Entries[i]
	if info, err := root.Lstat(from.Path); err != nil || !info.Mode().IsRegular() || info.Size() != e.Size || info.Mode().Perm() != mode(e.Type) {
		return nil
	}
	if _, _, whole, err := s.compare(root, from.Path, i); err != nil || !whole {
		return nil
	}
	// The link is made by path, because no call links from one root to another;
	// the path came from a checked manifest, and what was linked is looked at.
	to := filepath.Join(s.Stage, filepath.FromSlash(e.Path))
	if err := os.Link(filepath.Join(seed.Dir, filepath.FromSlash(from.Path)), to); err != nil {
		return nil // another file system, too many links: it is copied
	}
	a, errA := root.Lstat(from.Path)
	b, errB := s.root.Lstat(e.Path)
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		return errors.Join(errA, errB, s.root.Remove(e.Path))
	}
	s.files[i] = file{there: true}
	s.advance(1, e.Size, e.Size, &s.result.Seeded)
	return nil
}

// found is where a chunk can be read on this machine.
type found struct {
	root   *os.Root
	path   string
	offset int64
}

// takeChunks fills what the seeds, and the files that are in the staging folder
// already, have of the missing chunks.
func (s *syncing) takeChunks(ctx context.Context) error {
	if len(s.places) == 0 {
		return nil
	}
	missing := make(map[[sha256.Size]byte]uint32)
	for _, p := range s.places {
		missing[s.x.Chunks[p.chunk].Sum] = p.chunk
	}
	at := make(map[uint32][]found)
	for _, seed := range s.Seeds {
		root, err := os.OpenRoot(seed.Dir)
		if err != nil {
			continue
		}
		defer root.Close()
		look(seed.Index, root, missing, at, func(int, int) bool { return true })
	}
	look(s.x, s.root, missing, at, func(i, k int) bool {
		f := s.files[i]
		return f.there && (f.missing == 0 || f.right != nil && f.right[k])
	})
	return s.copyChunks(ctx, at)
}

// look notes where a tree has missing chunks, the first two places of each: the
// second is for the case that the first is damaged.
func look(x *chunkindex.Index, root *os.Root, missing map[[sha256.Size]byte]uint32, at map[uint32][]found, has func(i, k int) bool) {
	for i, e := range x.Tree.Entries {
		var offset int64
		for k, ref := range x.Of(i) {
			c := x.Chunks[ref]
			if n, ok := missing[c.Sum]; ok && len(at[n]) < 2 && has(i, k) {
				at[n] = append(at[n], found{root, e.Path, offset})
			}
			offset += int64(c.Size)
		}
	}
}

func (s *syncing) copyChunks(ctx context.Context, at map[uint32][]found) error {
	var in struct {
		*os.File
		found
	}
	defer func() {
		if in.File != nil {
			in.File.Close()
		}
	}()
	buf := make([]byte, chunkindex.MaxChunk)
	read := func(f found, n uint32) bool {
		if in.File == nil || in.root != f.root || in.path != f.path {
			if in.File != nil {
				in.File.Close()
			}
			in.found = f
			var err error
			if in.File, err = f.root.Open(f.path); err != nil {
				in.File = nil
				return false
			}
		}
		data := buf[:s.x.Chunks[n].Size]
		_, err := in.File.ReadAt(data, f.offset)
		return (err == nil || err == io.EOF) && s.check(data, n) == nil
	}
	left := s.places[:0]
	for rest := s.places; len(rest) > 0; {
		var same []place
		same, rest = next(rest)
		n := same[0].chunk
		done := false
		for _, f := range at[n] {
			if !read(f, n) {
				continue
			}
			if err := s.put(buf[:s.x.Chunks[n].Size], same, &s.result.Seeded); err != nil {
				return err
			}
			done = true
			break
		}
		if !done {
			left = append(left, same...)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	s.places = left
	return s.small.wait()
}
