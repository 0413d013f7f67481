package line

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slow gives a KiB after each pause, so many times.
type slow struct {
	ctx   context.Context
	pause time.Duration
	times int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.times == 0 {
		return 0, io.EOF
	}
	s.times--
	select {
	case <-time.After(s.pause):
		return min(len(p), 1<<10), nil
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

// One connection that hangs among others that work is noticed when they have
// ended, not before: what they bring is progress.
func TestReader_OneHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var came atomic.Int64
		ctx, l := New(t.Context(), Options{Idle: time.Minute, Most: 1 << 20, Count: func(n int) { came.Add(int64(n)) }})
		defer l.Stop()
		begun := time.Now()
		var group sync.WaitGroup
		group.Go(func() { io.Copy(io.Discard, l.Reader(&slow{ctx, 30 * time.Second, 10})) })
		group.Go(func() { io.Copy(io.Discard, l.Reader(&slow{ctx, time.Hour, 1})) })
		group.Wait()
		if cause := context.Cause(ctx); !errors.Is(cause, ErrStalled) {
			t.Errorf("it ended by %v", cause)
		}
		if took := time.Since(begun); took != 6*time.Minute {
			t.Errorf("it ended after %v", took)
		}
		if came.Load() != 10<<10 {
			t.Errorf("%d bytes were counted", came.Load())
		}
	})
}

// The clock stands while nobody waits for the line.
func TestReader_PausesAreNotTheLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, l := New(t.Context(), Options{Idle: time.Minute, Most: 1 << 20})
		defer l.Stop()
		r := l.Reader(&slow{ctx, 50 * time.Second, 3})
		for range 3 {
			if _, err := r.Read(make([]byte, 1<<10)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // the disk, in the test's own time
		}
	})
}

func TestReader_Bound(t *testing.T) {
	_, l := New(t.Context(), Options{Most: 10})
	defer l.Stop()
	a, b := l.Reader(bytes.NewReader(make([]byte, 6))), l.Reader(bytes.NewReader(make([]byte, 6)))
	n, err := io.Copy(io.Discard, a)
	if n != 6 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := io.Copy(io.Discard, b); n != 4 || !errors.Is(err, ErrEndless) {
		t.Errorf("%d, %v", n, err)
	}
}
