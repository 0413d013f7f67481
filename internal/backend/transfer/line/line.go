// Package line watches what depots send for one transfer: it counts, keeps to
// the machine's rate, ends what stalls and what sends more than can be needed.
//
// One [Line] may carry several connections at once, as files that are fetched
// side by side. They have one clock: it runs while somebody waits for the line,
// not while the disk works or the rate is waited for, and what any of them brings
// winds it up. So one connection that hangs is noticed when the others have run
// out of work.
package line

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/throttle"
)

// ErrStalled ends a transfer that brings nothing.
var ErrStalled = errors.New("the source has stalled")

// ErrEndless ends an answer that is longer than any right one.
var ErrEndless = fleet.Errorf(fleet.TooLarge, "the source sends more than can be needed")

// minProgress is what the line must bring each Idle.
const minProgress = 1 << 10

// Options are the bounds of a Line.
type Options struct {
	Limiter *throttle.Limiter // nil is unlimited
	Idle    time.Duration     // for the next KiB; 0 means a minute
	Most    int64             // bytes that may come at all
	Count   func(n int)       // called with what has come, by several goroutines; may be nil
}

// Line is one transfer's line. It must be made by [New], and ended with Stop.
type Line struct {
	Options
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	most    int64 // bytes that may still come
	waiting int   // readers
	begun   time.Time
	left    time.Duration // for the next KiB
	fresh   int           // bytes since the last full KiB
	timer   *time.Timer
}

// New makes a line; its context ends with the cause when it stalls.
func New(ctx context.Context, o Options) (context.Context, *Line) {
	l := &Line{Options: o, most: o.Most}
	l.Idle = cmp.Or(l.Idle, time.Minute)
	l.left = l.Idle
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.timer = time.AfterFunc(l.Idle, func() {
		l.cancel(fmt.Errorf("%w: less than 1 KiB in %v", ErrStalled, l.Idle))
	})
	l.timer.Stop()
	return l.ctx, l
}

// Stop ends the line and whatever hangs on its context.
func (l *Line) Stop() {
	l.timer.Stop()
	l.cancel(nil)
}

// Wait starts the clock for something that must come over the line, such as the
// beginning of an answer. The returned function stops it; n are the bytes that
// came.
func (l *Line) Wait() (done func(n int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == 0 {
		l.begun = time.Now()
		l.timer.Reset(l.left)
	}
	l.waiting++
	return l.done
}

func (l *Line) done(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.waiting--
	if l.fresh += n; l.fresh >= minProgress {
		l.fresh, l.left, l.begun = 0, l.Idle, now
		if l.waiting > 0 {
			l.timer.Reset(l.left)
		}
	}
	if l.waiting == 0 {
		l.timer.Stop()
		l.left -= now.Sub(l.begun)
	}
}

// reserve takes up to n of the bytes that may still come.
func (l *Line) reserve(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = int(min(int64(n), l.most))
	l.most -= int64(n)
	return n
}

// Reader returns a reader of r that comes over the line.
func (l *Line) Reader(r io.Reader) io.Reader { return &reader{l, r} }

type reader struct {
	*Line
	r io.Reader
}

// Read asks for no more at once than 1/80 s of the rate, because it is paid for
// behind the read: eight connections are then at most a tenth of a second ahead,
// and still fill a line of 100 ms.
func (r *reader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err // also for a source that does not notice
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.Limiter != nil {
		if rate := r.Limiter.Rate(); rate != throttle.Unlimited {
			p = p[:min(int64(len(p)), max(rate/80, 4<<10))]
		}
	}
	most := r.reserve(len(p))
	if most == 0 {
		return 0, ErrEndless
	}
	done := r.Wait()
	n, err := r.r.Read(p[:most])
	done(n)
	r.reserve(n - most) // give back
	if r.Count != nil {
		r.Count(n)
	}
	if r.Limiter != nil {
		if err := r.Limiter.Wait(r.ctx, n); err != nil {
			return n, err
		}
	}
	return n, err
}
