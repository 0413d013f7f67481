package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/fernwerk/fernwerk/internal/backend/transfer/line"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// fetch gets the missing chunks from the sources, one source after the other.
func (s *syncing) fetch(ctx context.Context) error {
	if len(s.places) == 0 {
		return nil
	}
	if len(s.Sources) == 0 {
		return fleet.Errorf(fleet.Unavailable, "%d chunks are missing and there is no source", wanted(s.places).Len())
	}
	var faults []error
	for i, source := range s.Sources {
		err := s.drain(ctx, source, i+1 == len(s.Sources))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, ok := errors.AsType[*diskError](err); ok {
			return err
		}
		faults = append(faults, err)
	}
	if len(faults) == 1 {
		return faults[0]
	}
	return fleet.Errorf(fleet.CodeOf(faults[0]), "no source is left: %w", errors.Join(faults...))
}

// diskError is a fault of this machine: another source would not help.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

// drain asks one source until nothing is missing, or it brings nothing. One that
// stalls gets no second chance unless it is the last.
func (s *syncing) drain(ctx context.Context, source Source, last bool) error {
	policy := s.Retry
	policy.Attempts = cmp.Or(policy.Attempts, 5)
	doubt := false
	for len(s.places) > 0 {
		err := retry.Do(ctx, policy, func(ctx context.Context) error {
			before := len(s.places)
			answered, err := s.stream(ctx, source, doubt)
			wrong := errors.Is(err, errWrong)
			switch {
			case err == nil:
				return nil
			case hopeless(err), errors.Is(err, line.ErrStalled) && !last, wrong && doubt:
				return retry.Permanent(err)
			case len(s.places) < before && !wrong:
				return nil // what it brings begins the count anew
			}
			// Wrong, or nothing useful in an answer: perhaps its cache is damaged.
			doubt = doubt || answered
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hopeless reports whether asking the same source again is no use.
func hopeless(err error) bool {
	if _, ok := errors.AsType[*diskError](err); ok {
		return true
	}
	switch fleet.CodeOf(err) {
	case fleet.Internal, fleet.Unavailable, fleet.Locked:
		return false
	}
	return true
}

// stream sends one request and writes what comes. What has arrived whole is no
// longer in s.places when it returns. answered says that the source began to.
func (s *syncing) stream(ctx context.Context, source Source, fresh bool) (answered bool, err error) {
	want := wanted(s.places)
	ctx, l := line.New(ctx, line.Options{Limiter: s.Limiter, Idle: s.Idle, Most: s.x.Size(want) + int64(want.Len())*perChunk + slack,
		Count: func(n int) { s.wire.Add(int64(n)) }})
	defer l.Stop()
	s.result.Requests++
	begun := l.Wait()
	content, err := source.Chunks(ctx, chunkindex.Request{Tree: s.tree, Want: want}, l.Reader, fresh)
	begun(0)
	if answered = err == nil; answered {
		defer content.Close()
		err = s.receive(content)
	}
	if failed := s.small.wait(); failed != nil {
		return answered, &diskError{failed}
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return answered, cause // what was read of it is only that it ended
	}
	return answered, err
}

// perChunk and slack are how much longer than its content an answer may be: a
// chunk that does not compress costs a frame's and a block's headers.
const (
	perChunk = 64
	slack    = 64 << 10
)

// receive writes the content of an answer.
func (s *syncing) receive(content io.Reader) error {
	buf := make([]byte, chunkindex.MaxChunk)
	for len(s.places) > 0 {
		same, rest := next(s.places)
		n := same[0].chunk
		data := buf[:s.x.Chunks[n].Size]
		got, err := io.ReadFull(content, data)
		if err != nil {
			s.advance(0, 0, int64(got), &s.result.Fetched)
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = errEnded
			}
			return err
		}
		if err := s.check(data, n); err != nil {
			s.advance(0, 0, int64(got), &s.result.Fetched)
			return err
		}
		if err := s.put(data, same, &s.result.Fetched); err != nil {
			return &diskError{err}
		}
		s.places = rest
	}
	return nil
}

var errEnded = errors.New("the source ended its answer early")
