package httpapi

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// What one host may ask for. An agent has a handful of requests under way, and an
// opsi client that fetches ten thousand small files some hundreds a second, one
// after the other. Beyond that a host hurts itself only: it is told to come back.
const (
	hostAtOnce = 32
	hostGap    = time.Second / 500 // between requests, on average
	hostBurst  = 2000              // requests that may come without a gap
)

// turns counts what hosts ask for. It forgets a host that asks for nothing.
type turns struct {
	mu    sync.Mutex
	by    map[string]*turn
	swept time.Time
}

// turn is one host's: what is under way, and when its requests would all have
// been answered, had they come at the allowed rate.
type turn struct {
	open int
	due  time.Time
}

// take counts a request of an actor; done ends it. Only hosts are limited.
func (t *turns) take(a methods.Actor, now time.Time) (done func(), err error) {
	if a.Role != methods.Host {
		return func() {}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	if t.by == nil {
		t.by = map[string]*turn{}
	}
	own := t.by[a.ID]
	if own == nil {
		own = &turn{}
		t.by[a.ID] = own
	}
	if own.due.Before(now) {
		own.due = now
	}
	if own.open >= hostAtOnce || own.due.Sub(now) > hostBurst*hostGap {
		wait := time.Second + rand.N(4*time.Second)
		return nil, fleet.Errorf(fleet.Unavailable, "cannot answer %s: it asks for too much at once: %w", a.ID, &rpc.RetryAfter{Wait: wait})
	}
	own.open++
	own.due = own.due.Add(hostGap)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		own.open--
	}, nil
}

// sweep forgets, once a minute, who has nothing under way and owes no time.
func (t *turns) sweep(now time.Time) {
	if now.Sub(t.swept) < time.Minute {
		return
	}
	t.swept = now
	for id, own := range t.by {
		if own.open == 0 && own.due.Before(now) {
			delete(t.by, id)
		}
	}
}
