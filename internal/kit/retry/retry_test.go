package retry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var errBusy = errors.New("busy")

// failing fails the first n calls and notes when each came.
type failing struct {
	left  int
	err   error
	calls []time.Time
}

func (f *failing) do(context.Context) error {
	f.calls = append(f.calls, time.Now())
	if f.left == 0 {
		return nil
	}
	f.left--
	return f.err
}

func TestDo_SucceedsAtLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{left: 7, err: errBusy}
		if err := Do(t.Context(), Policy{First: time.Second, Max: 10 * time.Second}, f.do); err != nil {
			t.Fatal(err)
		}
		if len(f.calls) != 8 {
			t.Fatalf("%d calls, want 8", len(f.calls))
		}
		for i, bound := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
			if gap := f.calls[i+1].Sub(f.calls[i]); gap > bound*time.Second {
				t.Errorf("wait %d took %v, want at most %v", i+1, gap, bound*time.Second)
			}
		}
	})
}

// Full jitter: the waits of many lie all over the range, evenly.
func TestWait_IsSpreadOverTheWholeRange(t *testing.T) {
	const draws, parts = 10_000, 10
	var count [parts]int
	p := Policy{First: time.Second, Max: 4 * time.Second}
	for range draws {
		count[min(int(p.wait(3, errBusy)*parts/(4*time.Second)), parts-1)]++
	}
	for _, n := range count {
		if n < draws/parts*7/10 || n > draws/parts*13/10 {
			t.Fatalf("tenths of the range were drawn %d times", count)
		}
	}
}

func TestBound_GrowsAndNeverOverflows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{
			First: time.Duration(rapid.Int64Min(0).Draw(t, "first")),
			Max:   time.Duration(rapid.Int64Range(0, 1<<62).Draw(t, "max")),
		}
		most := p.Max
		if most == 0 {
			most = defaultMax
		}
		last := time.Duration(0)
		for attempt := range 100 {
			b := p.bound(attempt + 1)
			if b < last || b > most || b <= 0 {
				t.Fatalf("bound of attempt %d is %v after %v", attempt+1, b, last)
			}
			last = b
		}
		if p.bound(1<<40) != most {
			t.Fatalf("bound ends at %v, want %v", p.bound(1<<40), most)
		}
	})
}

func TestDo_StopsAtAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{left: 100, err: errBusy}
		err := Do(t.Context(), Policy{Attempts: 3}, f.do)
		if !errors.Is(err, errBusy) || err.Error() != "gave up after 3 attempts: busy" || len(f.calls) != 3 {
			t.Errorf("%v after %d calls", err, len(f.calls))
		}
	})
}

func TestDo_StopsAtElapsed_WithoutWaitingForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{left: 1000, err: errBusy}
		begin := time.Now()
		err := Do(t.Context(), Policy{Max: time.Second, Elapsed: 10 * time.Second}, f.do)
		if !errors.Is(err, errBusy) {
			t.Error(err)
		}
		// It ends with the last attempt, not at the limit.
		if end := f.calls[len(f.calls)-1]; !end.Equal(time.Now()) || time.Since(begin) > 10*time.Second || time.Since(begin) < 9*time.Second {
			t.Errorf("ended after %v, the last call was %v before", time.Since(begin), time.Since(end))
		}
	})
}

func TestDo_PermanentEndsAtOnce(t *testing.T) {
	wrapped := fmt.Errorf("cannot ask: %w", Permanent(errBusy))
	for name, c := range map[string]struct{ err, want error }{
		"plain":   {Permanent(errBusy), errBusy},
		"wrapped": {wrapped, wrapped},
		"hinted":  {After(Permanent(errBusy), time.Hour), nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &failing{left: 2, err: c.err}
			err := Do(t.Context(), Policy{}, f.do)
			if len(f.calls) != 1 || !errors.Is(err, errBusy) || c.want != nil && err != c.want {
				t.Errorf("%d calls, error %v", len(f.calls), err)
			}
		})
	}
}

func TestDo_WaitsAsLongAsThePeerAsked(t *testing.T) {
	for name, c := range map[string]struct{ hint, least, most time.Duration }{
		"minute":   {time.Minute, time.Minute, time.Minute + time.Second},
		"too long": {1000 * time.Hour, time.Hour, time.Hour + time.Second},
		"negative": {-time.Minute, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &failing{left: 1, err: fmt.Errorf("server: %w", After(errBusy, c.hint))}
				begin := time.Now()
				if err := Do(t.Context(), Policy{First: time.Second}, f.do); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took < c.least || took > c.most {
					t.Errorf("took %v, want %v to %v", took, c.least, c.most)
				}
			})
		})
	}
}

func TestDo_HintBeyondElapsedGivesUpNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{left: 1, err: After(errBusy, time.Minute)}
		begin := time.Now()
		err := Do(t.Context(), Policy{Elapsed: 30 * time.Second}, f.do)
		if !errors.Is(err, errBusy) || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestDo_ContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		f := &failing{left: 10, err: After(errBusy, time.Minute)}
		begin := time.Now()
		err := Do(ctx, Policy{}, f.do)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errBusy) || time.Since(begin) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if err := Do(ctx, Policy{}, f.do); err != context.DeadlineExceeded || len(f.calls) != 1 {
			t.Errorf("an ended context: %v, %d calls", err, len(f.calls))
		}
	})
}

func TestMarks_OfNilAreNil(t *testing.T) {
	if Permanent(nil) != nil || After(nil, 1) != nil {
		t.Error("a mark made an error of nil")
	}
}
