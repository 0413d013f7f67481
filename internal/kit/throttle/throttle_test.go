package throttle

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// pass is a piece that the limiter let pass.
type pass struct {
	at time.Time
	n  int
}

// tooMuch returns by how many bytes the worst window of any length carries more
// than its share of the rate and one bucket: a bucket that leaks at the rate
// overflows by as much.
func tooMuch(passes []pass, rate int64) (over float64) {
	level := 0.0
	for i, p := range passes {
		if i > 0 {
			level -= p.at.Sub(passes[i-1].at).Seconds() * float64(rate)
		}
		level = max(level, 0) + float64(p.n)
		over = max(over, level-float64(bucket(rate)))
	}
	return over
}

func TestTooMuch_CanFail(t *testing.T) {
	now := time.Now()
	full := []pass{{now, 5000}, {now.Add(50 * time.Millisecond), 5000}}
	if tooMuch(full, 100_000) > 1 {
		t.Error("a bucket and 50 ms of the rate were refused")
	}
	if tooMuch(append(full, pass{full[1].at, 10}), 100_000) < 9 {
		t.Error("ten bytes too many passed")
	}
}

// Any rate, any readers, any sizes: ten seconds carry the rate within 1 %, and
// no window more than its share and one bucket.
func TestLimiter_IsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.Int64Range(100, 20_000_000).Draw(rt, "rate")
		// In hundredths of a bucket; smaller pieces only make the test slow.
		sizes := rapid.SliceOfN(rapid.IntRange(10, 100), 1, 4).Draw(rt, "sizes")
		var passes []pass
		var total int
		synctest.Test(t, func(t *testing.T) {
			l := New(rate)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var mu sync.Mutex
			var wg sync.WaitGroup
			for _, size := range sizes {
				wg.Go(func() {
					piece := max(1, bucket(rate)*size/100)
					for l.Wait(ctx, piece) == nil {
						mu.Lock()
						passes = append(passes, pass{time.Now(), piece})
						total += piece
						mu.Unlock()
					}
				})
			}
			wg.Wait()
		})
		// One bucket may be half paid by each at the end.
		least := 0.99*10*float64(rate) - float64(len(sizes)*bucket(rate))
		if got := float64(total); got < least || got > 1.01*10*float64(rate) {
			rt.Fatalf("%d bytes in 10 s of %d bytes a second", total, rate)
		}
		if over := tooMuch(passes, rate); over > 1 {
			rt.Fatalf("a window carried %.0f bytes too many at %d bytes a second", over, rate)
		}
	})
}

func TestReader_TakesItsTime(t *testing.T) {
	for _, rate := range []int64{1000, 250_000, 12_500_000} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			r := New(rate).Reader(t.Context(), strings.NewReader(strings.Repeat("x", int(10*rate))))
			n, err := io.Copy(io.Discard, r)
			if n != 10*rate || err != nil {
				t.Errorf("read %d bytes: %v", n, err)
			}
			if took := time.Since(begin); took < 9900*time.Millisecond || took > 10100*time.Millisecond {
				t.Errorf("10 s of %d bytes a second took %v", rate, took)
			}
		})
	}
}

func TestReaders_ShareEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1_000_000)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var got [3]int64
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i], _ = io.Copy(io.Discard, l.Reader(ctx, endless{})) })
		}
		wg.Wait()
		for _, n := range got {
			if n < 3_200_000 || n > 3_450_000 {
				t.Errorf("shares are %d", got)
			}
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestSetRate_ReachesThoseWhoWait(t *testing.T) {
	for name, c := range map[string]struct {
		from, to int64
		want     time.Duration // for 1,000,000 bytes, changed after 1.01 s
	}{
		"faster":    {1000, 1_000_000, 1999 * time.Millisecond},
		"slower":    {500_000, 100_000, 5710 * time.Millisecond},
		"unlimited": {1000, 0, time.Second},
		"negative":  {1000, -5, time.Second},
		"limited":   {0, 1000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(c.from)
				go func() {
					time.Sleep(1010 * time.Millisecond) // between two pieces
					l.SetRate(c.to)
				}()
				begin := time.Now()
				if err := l.Wait(t.Context(), 1_000_000); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took < c.want-20*time.Millisecond || took > c.want+20*time.Millisecond {
					t.Errorf("took %v, want %v", took, c.want)
				}
				if c.want == 0 {
					time.Sleep(2 * time.Second)
				}
				if got := l.Rate(); got != max(c.to, 0) {
					t.Errorf("Rate = %d", got)
				}
			})
		})
	}
}

// Flipping the rate often must not refill the bucket.
func TestSetRate_GivesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(100_000)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(time.Millisecond)
				l.SetRate(100_001 - l.Rate()%2)
			}
		})
		n, _ := io.Copy(io.Discard, l.Reader(ctx, endless{}))
		if n < 990_000 || n > 1_010_000 {
			t.Errorf("%d bytes in 10 s of 100,000", n)
		}
	})
}

func TestWait_EndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		errs := make(chan error)
		for range 3 { // one waits for tokens, the others for their turn
			go func() { errs <- l.Wait(ctx, 1000) }()
		}
		begin := time.Now()
		for range 3 {
			if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Wait = %v", err)
			}
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("returned after %v", took)
		}
	})
}

func TestReader_LosesNoByteAndNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		r := New(1000).Reader(t.Context(), io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)))
		got, err := io.ReadAll(r)
		if string(got) != "abc" || err != broken {
			t.Errorf("read %q, %v", got, err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		got, err = io.ReadAll(New(1).Reader(ctx, strings.NewReader("abc")))
		if string(got) != "abc" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %q, %v", got, err)
		}
	})
}
