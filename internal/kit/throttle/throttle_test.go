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

// tooMuch returns the first window of one second or less that carries more than
// its share of the rate and one bucket.
func tooMuch(passes []pass, rate int64) (sum int, window time.Duration) {
	first := 0
	sum = 0
	for i, p := range passes {
		sum += p.n
		for p.at.Sub(passes[first].at) > time.Second {
			sum -= passes[first].n
			first++
		}
		part := 0
		for j := i; j >= first; j-- {
			part += passes[j].n
			window = p.at.Sub(passes[j].at)
			if float64(part) > window.Seconds()*float64(rate)+float64(bucket(rate))+1 {
				return part, window
			}
		}
	}
	return 0, 0
}

func TestTooMuch_CanFail(t *testing.T) {
	now := time.Now()
	full := []pass{{now, 5000}, {now.Add(50 * time.Millisecond), 5000}}
	if n, _ := tooMuch(full, 100_000); n != 0 {
		t.Error("a bucket and 50 ms of the rate were refused")
	}
	if n, _ := tooMuch(append(full, pass{full[1].at, 5000}), 100_000); n == 0 {
		t.Error("a bucket too much passed")
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
		if n, w := tooMuch(passes, rate); n != 0 {
			rt.Fatalf("%d bytes in %v of %d bytes a second", n, w, rate)
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
		want     time.Duration // for 1,000,000 bytes, changed after a second
	}{
		"faster":    {1000, 1_000_000, 1999 * time.Millisecond},
		"slower":    {500_000, 100_000, 5950 * time.Millisecond}, // a gathered piece is forgotten
		"unlimited": {1000, 0, time.Second},
		"negative":  {1000, -5, time.Second},
		"limited":   {0, 1000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(c.from)
				go func() {
					time.Sleep(time.Second)
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

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err = io.ReadAll(New(1).Reader(ctx, strings.NewReader("abc")))
		if string(got) != "ab" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %q, %v", got, err)
		}
	})
}
