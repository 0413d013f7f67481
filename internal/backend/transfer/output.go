package transfer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// place is where a chunk belongs.
type place struct {
	chunk, entry uint32
	offset       int64
}

// plan lists the places of all missing chunks. Empty files have none.
func (s *syncing) plan(context.Context) error {
	for i, e := range s.x.Tree.Entries {
		f := &s.files[i]
		if !e.Type.Regular() || f.there && f.missing == 0 {
			continue
		}
		var offset int64
		for k, ref := range s.x.Of(i) {
			if f.right == nil || !f.right[k] {
				s.places = append(s.places, place{ref, uint32(i), offset})
			}
			offset += int64(s.x.Chunks[ref].Size)
		}
	}
	slices.SortStableFunc(s.places, func(a, b place) int { return cmp.Compare(a.chunk, b.chunk) })
	return nil
}

// next splits off the places of the first missing chunk.
func next(places []place) (first, rest []place) {
	n := 1
	for n < len(places) && places[n].chunk == places[0].chunk {
		n++
	}
	return places[:n], places[n:]
}

// output is the file being written; neighbouring chunks lie in one file.
type output struct {
	file  *os.File
	entry int
	sums  map[int]*running
}

// running is the sum of the beginning of a file whose chunks come in order.
type running struct {
	hash.Hash
	upTo int64
}

// put writes a chunk, which is right, to its places. kind is where it came from;
// all places but the first count as Seeded.
func (s *syncing) put(data []byte, places []place, kind *int64) error {
	for _, p := range places {
		i := int(p.entry)
		if s.files[i].missing == 1 && !s.files[i].there {
			if err := s.small.put(s, i, data, kind); err != nil {
				return err
			}
			kind = &s.result.Seeded
			continue
		}
		if err := s.open(i); err != nil {
			return err
		}
		if _, err := s.out.file.WriteAt(data, p.offset); err != nil {
			return err
		}
		if r := s.out.sums[i]; r != nil && r.upTo == p.offset {
			r.Write(data)
			r.upTo += int64(len(data))
		}
		done := 0
		if s.files[i].missing--; s.files[i].missing == 0 {
			if err := s.finish(i); err != nil {
				return err
			}
			done = 1
		}
		s.advance(done, int64(len(data)), int64(len(data)), kind)
		kind = &s.result.Seeded
	}
	return nil
}

// small writes files of one chunk, some at once: making a file takes a disk's
// time, or a virus scanner's, and the line must not wait for it.
type small struct {
	busy   chan struct{} // a token for each that is written
	group  sync.WaitGroup
	mu     sync.Mutex
	failed error
}

// maxSmall is how many are written at once, each from a copy of its chunk.
const maxSmall = 4

// put writes the entry's file soon, and fails if that of an earlier one did.
func (w *small) put(s *syncing, i int, data []byte, kind *int64) error {
	if err := s.foldersReady(); err != nil {
		return err
	}
	if w.busy == nil {
		w.busy = make(chan struct{}, maxSmall)
	}
	w.busy <- struct{}{}
	data = slices.Clone(data)
	s.files[i].there, s.files[i].missing = true, 0
	w.group.Go(func() {
		defer func() { <-w.busy }()
		f, err := s.make(i)
		if err == nil {
			_, err = f.Write(data)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			w.mu.Lock()
			w.failed = cmp.Or(w.failed, err)
			w.mu.Unlock()
			return
		}
		s.advance(1, int64(len(data)), int64(len(data)), kind)
	})
	return w.err()
}

func (w *small) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// wait returns when all are written.
func (w *small) wait() error {
	w.group.Wait()
	return w.err()
}

// open makes the entry's file the one being written.
func (s *syncing) open(i int) error {
	if s.out.file != nil && s.out.entry == i {
		return nil
	}
	if !s.files[i].there {
		return s.create(i)
	}
	if err := s.close(); err != nil {
		return err
	}
	f, err := s.root.OpenFile(s.x.Tree.Entries[i].Path, os.O_RDWR, 0)
	s.out.file, s.out.entry = f, i
	return err
}

// create makes the entry's file and lets it be the one being written.
func (s *syncing) create(i int) error {
	if err := errors.Join(s.foldersReady(), s.close()); err != nil {
		return err
	}
	f, err := s.make(i)
	if err != nil {
		return err
	}
	s.out.file, s.out.entry = f, i
	s.files[i].there = true
	if s.files[i].missing > 1 {
		if s.out.sums == nil {
			s.out.sums = make(map[int]*running)
		}
		s.out.sums[i] = &running{Hash: sha256.New()}
	}
	return nil
}

// make makes the entry's file, new: nothing that exists is written through.
func (s *syncing) make(i int) (*os.File, error) {
	e := s.x.Tree.Entries[i]
	f, err := s.root.OpenFile(e.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode(e.Type))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm() != mode(e.Type) && runtime.GOOS != "windows" {
		err = f.Chmod(mode(e.Type)) // the umask took more than usual
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *syncing) close() error {
	f := s.out.file
	s.out.file = nil
	if f == nil {
		return nil
	}
	return f.Close()
}

// finish checks a file of which the last chunk was written.
func (s *syncing) finish(i int) error {
	e := s.x.Tree.Entries[i]
	r := s.out.sums[i]
	delete(s.out.sums, i)
	if len(s.x.Of(i)) == 1 {
		return nil // its chunk has the file's sum
	}
	if r == nil || r.upTo != e.Size {
		r = &running{Hash: sha256.New()}
		if _, err := io.Copy(r, io.NewSectionReader(s.out.file, 0, e.Size)); err != nil {
			return err
		}
	}
	if [sha256.Size]byte(r.Sum(nil)) == e.Sum {
		return nil
	}
	err := fleet.Errorf(fleet.Invalid, "the listed chunks of %q do not make the file that the manifest names", e.Path)
	return errors.Join(err, s.close(), s.root.Remove(e.Path))
}

// wanted names the missing chunks.
func wanted(places []place) chunkindex.Ranges {
	var want chunkindex.Ranges
	for i, p := range places {
		if i == 0 || places[i-1].chunk != p.chunk {
			want.Add(int(p.chunk))
		}
	}
	return want
}

var errWrong = errors.New("its content is wrong")

// check compares a chunk with its sum.
func (s *syncing) check(data []byte, chunk uint32) error {
	if sha256.Sum256(data) != s.x.Chunks[chunk].Sum {
		return fmt.Errorf("chunk %d: %w", chunk, errWrong)
	}
	return nil
}
