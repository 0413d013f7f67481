// Package retry repeats what may fail for a while: exponential backoff with full
// jitter.
//
// The n-th wait is drawn evenly between zero and First x 2^(n-1), at most Max.
// Drawing from the whole range, not around its end, is what keeps a thousand
// laptops that lost one server in the same second from coming back in the same
// second.
//
// What is worth repeating only the called function knows. It marks an error that
// will not go away with Permanent, and one whose peer named a time (HTTP
// Retry-After) with After.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	defaultFirst = 500 * time.Millisecond
	defaultMax   = time.Minute
	// maxHint bounds the time that a peer may name.
	maxHint = time.Hour
)

// Policy says how often and how long. The zero Policy repeats until the context
// ends, waiting up to 500 ms after the first failure and up to a minute later.
type Policy struct {
	First    time.Duration // upper bound of the first wait; 0 means 500 ms
	Max      time.Duration // upper bound of every wait; 0 means 1 minute
	Attempts int           // calls at most; 0 means no limit
	// Elapsed is the time from the start after which no further attempt
	// begins; 0 means no limit. A running attempt is not interrupted.
	Elapsed time.Duration
}

// Do calls f until it succeeds. It returns
//   - nil after a success,
//   - the error as f gave it to Permanent, at once,
//   - the last error, wrapped with the number of attempts, when the policy
//     allows no more,
//   - the context's error joined with the last one when the context ends.
func Do(ctx context.Context, p Policy, f func(context.Context) error) error {
	begin := time.Now()
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := f(ctx)
		if err == nil {
			return nil
		}
		if permanent, ok := errors.AsType[*permanentError](err); ok {
			return unmarked(err, permanent)
		}
		wait := p.wait(attempt, err)
		if attempt == p.Attempts || p.Elapsed > 0 && time.Since(begin)+wait > p.Elapsed {
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w after %d attempts: %w", ctx.Err(), attempt, err)
		}
	}
}

// wait draws the time to the next attempt. A time named by the peer comes before
// the drawn one, so that those who were told the same do not come together.
func (p Policy) wait(attempt int, err error) time.Duration {
	return rand.N(p.bound(attempt)+1) + Hint(err)
}

// Hint is the time that a peer named with [After], at most one hour; 0 if it
// named none.
func Hint(err error) time.Duration {
	if hint, ok := errors.AsType[*afterError](err); ok {
		return min(max(hint.after, 0), maxHint)
	}
	return 0
}

// bound is the most that is waited after the given attempt, without a hint.
func (p Policy) bound(attempt int) time.Duration {
	bound, most := p.First, p.Max
	if bound <= 0 {
		bound = defaultFirst
	}
	if most <= 0 {
		most = defaultMax
	}
	for range attempt - 1 {
		if bound >= most/2 {
			return most
		}
		bound *= 2
	}
	return min(bound, most)
}

type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// Permanent marks an error that repeating does not cure. Nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// unmarked takes the mark off where it is outermost; inside other errors it
// stays, for it changes no text.
func unmarked(err error, mark *permanentError) error {
	if err == error(mark) {
		return mark.error
	}
	return err
}

type afterError struct {
	error
	after time.Duration
}

func (e *afterError) Unwrap() error { return e.error }

// After marks an error whose peer asked to come back after d at the earliest. Do
// waits so long and one drawn wait more; above one hour it waits one hour. Nil
// stays nil.
func After(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &afterError{err, d}
}
