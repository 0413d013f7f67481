package folder

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
)

// Source gives the chunks of a tree from the files of a folder. It is a
// transfer.Source.
type Source struct {
	Folder Folder
	Index  *chunkindex.Index
}

// maxSegment is the most that is asked for in one piece: small enough that a
// large file is fetched side by side too.
const maxSegment = 4 << 20

// segment is a part of a file that holds wanted chunks, one after the other.
type segment struct {
	part
	blocks chan []byte
	err    error // set before blocks is closed
}

// Chunks implements transfer.Source. Segments arrive in any order, some of them
// ahead; they are read in the order in which they were asked for.
func (s *Source) Chunks(ctx context.Context, q chunkindex.Request, wire func(io.Reader) io.Reader, _ bool) (io.ReadCloser, error) {
	if q.Tree != s.Index.Digest {
		return nil, fleet.Errorf(fleet.Conflict, "%s: the tree asked for is another one", s.Folder)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{cancel: cancel, segments: s.segments(ctx, q.Want), window: make(chan struct{}, 2*Parallel)}
	todo := make(chan *segment)
	r.group.Go(func() {
		defer close(todo)
		for _, seg := range r.segments {
			select {
			case r.window <- struct{}{}:
			case <-ctx.Done():
				return
			}
			select {
			case todo <- seg:
			case <-ctx.Done():
				return
			}
		}
	})
	for range min(Parallel, len(r.segments)) {
		r.group.Go(func() {
			for seg := range todo {
				seg.err = seg.fetch(ctx, wire)
				close(seg.blocks)
			}
		})
	}
	r.ctx = ctx
	return r, nil
}

// segments are the wanted parts of files, in the order of their chunks.
func (s *Source) segments(ctx context.Context, want chunkindex.Ranges) []*segment {
	type place struct {
		entry  int
		offset int64
	}
	places := make([]place, 0, len(s.Index.Chunks)) // where each chunk occurs first
	for i := range s.Index.Tree.Entries {
		var offset int64
		for _, ref := range s.Index.Of(i) {
			if int(ref) == len(places) {
				places = append(places, place{i, offset})
			}
			offset += int64(s.Index.Chunks[ref].Size)
		}
	}
	var list []*segment
	entry := -1
	for n := range want.All() {
		if n >= len(places) {
			break
		}
		at, size := places[n], int64(s.Index.Chunks[n].Size)
		if entry == at.entry {
			last := list[len(list)-1]
			if last.offset+last.length == at.offset && last.length+size <= maxSegment {
				last.length += size
				continue
			}
		}
		e := s.Index.Tree.Entries[at.entry]
		list = append(list, &segment{blocks: make(chan []byte, 2),
			part: part{ctx: ctx, folder: s.Folder, name: e.Path, offset: at.offset, length: size, size: e.Size}})
		entry = at.entry
	}
	return list
}

// again is how often a segment is asked to go on at once, after which nothing
// came; then the whole request has failed.
const again = 2

// fetch reads the segment and hands its blocks on. Where its connection breaks
// it goes on by itself: the others would lose what they have under way.
func (seg *segment) fetch(ctx context.Context, wire func(io.Reader) io.Reader) error {
	defer func() { seg.Close() }()
	in := wire(&seg.part)
	for failed := 0; seg.length > 0; {
		b := make([]byte, min(seg.length, block))
		n, err := io.ReadFull(in, b)
		if n > 0 {
			failed = 0
			select {
			case seg.blocks <- b[:n]:
			case <-ctx.Done():
				return ctx.Err()
			}
			seg.offset += int64(n)
			seg.length -= int64(n)
		}
		if err == nil {
			continue
		}
		if err = early(err); failed == again || hopeless(err) || ctx.Err() != nil {
			return fmt.Errorf("%q: %w", seg.name, err)
		}
		failed++
		seg.Close()
		seg.body = nil
	}
	return nil
}

// reader puts the segments together.
type reader struct {
	ctx      context.Context
	cancel   context.CancelFunc
	group    sync.WaitGroup
	segments []*segment
	window   chan struct{} // a token for each segment that is under way or waits to be read
	block    []byte
}

func (r *reader) Read(b []byte) (int, error) {
	for len(r.block) == 0 {
		if len(r.segments) == 0 {
			return 0, io.EOF
		}
		seg := r.segments[0]
		var ok bool
		select {
		case r.block, ok = <-seg.blocks:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
		if ok {
			continue
		}
		if seg.err != nil {
			return 0, seg.err
		}
		r.segments = r.segments[1:]
		<-r.window
	}
	n := copy(b, r.block)
	r.block = r.block[n:]
	return n, nil
}

func (r *reader) Close() error {
	r.cancel()
	r.group.Wait()
	return nil
}

// early names an end that comes before what was asked for.
func early(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fleet.Errorf(fleet.Unavailable, "the depot ended its answer early")
	}
	return err
}
