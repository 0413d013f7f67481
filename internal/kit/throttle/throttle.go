// Package throttle holds the transfers of one machine together under one rate.
//
// All transfers of an agent share one Limiter, so that its cap
// (cache_max_bandwidth of the agent's configuration) holds for the sum. The
// rate may change while they wait: whoever finds out that the line is wanted by
// others (cache_dynamic_bandwidth) sets a new one, and it counts at once.
//
// # Exactness
//
// The Limiter is a token bucket of 50 ms of the rate, at most 64 KiB, full at
// the start. In every window it lets pass no more than rate x window + one
// bucket, so over ten seconds at most 0.5 % more than the rate. Tokens gather
// while a timer is late; what is late by more than the bucket is lost, which is
// 50 ms up to 1.3 MB/s, 5 ms at 100 Mbit/s and 0.5 ms at 1 Gbit/s. So at rates
// above about 50 MB/s a busy transfer may stay some percent below the rate;
// never above.
//
// golang.org/x/time/rate was not used: a change of its rate does not reach
// those who already wait, who at a low rate may wait for seconds.
package throttle

import (
	"context"
	"io"
	"math"
	"sync"
	"time"
)

// Unlimited is a rate that limits nothing, as is every other below one.
const Unlimited = 0

const (
	maxBucket  = 64 << 10
	bucketTime = 50 * time.Millisecond
)

// Limiter shares a rate among all who wait for it, in the order of their
// coming. It must be made by New.
type Limiter struct {
	// turn holds one token; waiting for a channel is first come, first served.
	turn chan struct{}

	mu      sync.Mutex
	rate    int64 // bytes a second
	tokens  float64
	asOf    time.Time     // when tokens was right
	changed chan struct{} // closed when the rate changes
}

// New returns a Limiter of a rate in bytes a second; 0 or less is unlimited.
func New(rate int64) *Limiter {
	l := &Limiter{turn: make(chan struct{}, 1), changed: make(chan struct{})}
	l.rate = max(rate, Unlimited)
	l.tokens = float64(bucket(l.rate))
	l.asOf = time.Now()
	return l
}

// bucket is the most that passes at once, in bytes.
func bucket(rate int64) int {
	perBucket := int64(time.Second / bucketTime)
	return int(min(max(rate/perBucket, 1), maxBucket))
}

// Rate returns the present rate in bytes a second; 0 is unlimited.
func (l *Limiter) Rate() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}

// SetRate changes the rate, in bytes a second, for all who wait already and all
// who come; 0 or less is unlimited.
func (l *Limiter) SetRate(rate int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rate = max(rate, Unlimited)
	if rate == l.rate {
		return
	}
	l.refill()
	if l.rate == Unlimited {
		l.tokens = 0 // the bucket of before has no meaning; start empty
	}
	l.rate = rate
	l.tokens = min(l.tokens, float64(bucket(rate)))
	close(l.changed)
	l.changed = make(chan struct{})
}

// refill adds the tokens of the time since the last refill.
func (l *Limiter) refill() {
	now := time.Now()
	l.tokens += now.Sub(l.asOf).Seconds() * float64(l.rate)
	l.tokens = min(l.tokens, float64(bucket(l.rate)))
	l.asOf = now
}

// Wait returns when n more bytes may pass, or with the context's error. A large
// n is paid in pieces of a bucket, others come in between; what was paid before
// an error is not given back.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	for n > 0 {
		select {
		case l.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		paid, err := l.pay(ctx, n)
		<-l.turn
		if err != nil {
			return err
		}
		n -= paid
	}
	return ctx.Err()
}

// pay waits for a bucket of tokens, or fewer if n is less, and takes them.
func (l *Limiter) pay(ctx context.Context, n int) (paid int, err error) {
	for {
		piece, wait, changed := l.take(n)
		if wait == 0 {
			return piece, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		}
	}
}

// take takes the tokens for the next piece of n, or tells how long they will
// take to gather and which change of the rate makes that wrong.
func (l *Limiter) take(n int) (piece int, wait time.Duration, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == Unlimited {
		return n, 0, nil
	}
	piece = min(n, bucket(l.rate))
	l.refill()
	missing := float64(piece) - l.tokens
	if missing <= 0 {
		l.tokens -= float64(piece)
		return piece, 0, nil
	}
	seconds := missing / float64(l.rate)
	return piece, time.Duration(math.Ceil(seconds * 1e9)), l.changed
}

// Reader returns a reader of r that passes bytes on at the Limiter's rate. What
// r gave is paid after it was read, since only then its length is known; when
// the context ends while paying, the bytes are returned together with its
// error. Errors of r are returned as they are.
func (l *Limiter) Reader(ctx context.Context, r io.Reader) io.Reader {
	return &reader{ctx: ctx, limiter: l, r: r}
}

type reader struct {
	ctx     context.Context
	limiter *Limiter
	r       io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if rate := r.limiter.Rate(); rate != Unlimited {
		p = p[:min(len(p), bucket(rate))]
	}
	n, err := r.r.Read(p)
	if waitErr := r.limiter.Wait(r.ctx, n); waitErr != nil {
		return n, waitErr
	}
	return n, err
}
