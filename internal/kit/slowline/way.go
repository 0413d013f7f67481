package slowline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// way is one direction of the line: it tells every segment of every connection
// when it arrives.
type way struct {
	line Line
	// turn holds one token. Those who wait for a channel are served in the
	// order of their coming, and each comes again for its next segment: that
	// is round robin between busy connections.
	turn chan struct{}

	mu   sync.Mutex
	free time.Time // when all that has been accepted is sent

	delivered, lost atomic.Int64
}

func newWay(l Line) *way {
	return &way{line: l, turn: make(chan struct{}, 1)}
}

// send accepts n bytes as soon as the queue has room for them and returns when
// they arrive at the far end.
func (w *way) send(ctx context.Context, n int) (arrival time.Time, err error) {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	defer func() { <-w.turn }()

	for {
		arrival, room, err := w.accept(ctx, n)
		if err != nil || !arrival.IsZero() {
			return arrival, err
		}
		if err := sleepUntil(ctx, room); err != nil {
			return time.Time{}, err
		}
	}
}

// accept takes n bytes on, or says when to ask again. The context is checked
// under the lock: after flush no segment of a cut connection gets in.
func (w *way) accept(ctx context.Context, n int) (arrival, room time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return time.Time{}, time.Time{}, err
	}
	now := time.Now()
	start := w.free
	if start.Before(now) {
		start = now
	}
	end := start.Add(w.line.took(n))
	if room = end.Add(-w.line.took(w.line.queue())); room.After(now) {
		return time.Time{}, room, nil
	}
	w.free = end
	return end.Add(w.line.delay()), time.Time{}, nil
}

// flush empties the queue.
func (w *way) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.free.After(now) {
		w.free = now
	}
}

// sleepUntil returns at t, or earlier with the context's error.
func sleepUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
