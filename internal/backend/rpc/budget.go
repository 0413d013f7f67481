package rpc

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// budget bounds what all requests under way cost: in memory for their bodies and
// answers, on disk for large answers. A body of 30 kB can unpack to half a
// gigabyte of values, and whoever is logged in can send many at once: limits for
// one request do not keep the server up. Its zero value with a limit is ready.
type budget struct {
	mu   sync.Mutex
	used int64
	by   map[string]int64 // of each caller
}

const (
	// freeOfCharge is what nobody counts: nearly all requests are smaller.
	freeOfCharge = 32 << 10
	// shares is how many callers at least fit side by side.
	shares = 4
)

// share is one request's part of the budget.
type share struct {
	budget *budget
	what   string // that needs it
	most   int64  // of all
	who    string
	asked  int64
	held   int64
}

func (b *budget) share(what string, most int64, who methods.Actor) *share {
	return &share{budget: b, what: what, most: most, who: string(who.Role) + " " + who.ID}
}

// take books room before it is needed. What does not fit at all is TooLarge;
// what does not fit now is Unavailable.
func (s *share) take(n int64) error {
	if s.asked += n; s.asked <= freeOfCharge {
		return nil
	}
	n = s.asked - s.held
	if each := s.most / shares; s.asked > each {
		return fleet.Errorf(fleet.TooLarge, "%s needs more than %d MiB", s.what, each>>20)
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > s.most || b.by[s.who]+n > s.most/shares {
		wait := 5*time.Second + rand.N(10*time.Second) // not all again at once
		return fleet.Errorf(fleet.Unavailable, "too many large requests are under way: %w", &RetryAfter{wait})
	}
	if b.by == nil {
		b.by = map[string]int64{}
	}
	b.used += n
	b.by[s.who] += n
	s.held += n
	return nil
}

// release gives everything back.
func (s *share) release() {
	if s.held == 0 {
		return
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= s.held
	if b.by[s.who] -= s.held; b.by[s.who] == 0 {
		delete(b.by, s.who)
	}
	s.held = 0
}
