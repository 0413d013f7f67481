package slowline

import (
	"context"
	"sync"
	"time"
)

// segment is what travels: data, or the end of one direction.
type segment struct {
	data    []byte
	arrival time.Time
	end     ending
}

type ending int

const (
	goesOn ending = iota
	closed        // the sender closed its direction: a FIN
	broken        // the sender reset the connection: an RST
)

// flight holds the segments of one direction of one connection between their
// reading and their delivery. One goroutine puts, one takes.
type flight struct {
	limit int // bytes

	mu    sync.Mutex
	segs  []segment
	bytes int // put in or announced by wait, and not yet landed

	grew, shrank chan struct{} // capacity 1
}

func newFlight(limit int) *flight {
	return &flight{limit: limit, grew: make(chan struct{}, 1), shrank: make(chan struct{}, 1)}
}

// wait blocks until n more bytes are within the limit and books them.
func (f *flight) wait(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		if f.bytes == 0 || f.bytes+n <= f.limit {
			f.bytes += n
			f.mu.Unlock()
			return nil
		}
		f.mu.Unlock()
		select {
		case <-f.shrank:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// put adds a segment whose bytes were booked.
func (f *flight) put(s segment) {
	f.mu.Lock()
	f.segs = append(f.segs, s)
	f.mu.Unlock()
	signal(f.grew)
}

// take removes the oldest segment, waiting for one.
func (f *flight) take(ctx context.Context) (segment, error) {
	for {
		f.mu.Lock()
		if len(f.segs) > 0 {
			s := f.segs[0]
			f.segs[0] = segment{} // let go of the data
			f.segs = f.segs[1:]
			f.mu.Unlock()
			return s, nil
		}
		f.mu.Unlock()
		select {
		case <-f.grew:
		case <-ctx.Done():
			return segment{}, ctx.Err()
		}
	}
}

// landed gives back the booking of n bytes.
func (f *flight) landed(n int) {
	f.mu.Lock()
	f.bytes -= n
	f.mu.Unlock()
	signal(f.shrank)
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
