package access

import (
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Of failed logins: the first few are free, then each doubles the wait for the
// next try under the same name.
const (
	freeFailures = 5
	firstWait    = time.Second
	longestWait  = 30 * time.Second
	// longestCodeWait is for wrong one-time codes: who tries them knows the
	// password, and there are only a million. 100 tries a day hit one of three
	// right codes once in a few decades.
	longestCodeWait = 15 * time.Minute
	forgetAfter     = 15 * time.Minute
	// maxNames bounds the memory. Who fails under so many names to make us
	// forget one pays for each with a slow password check.
	maxNames = 10_000
)

type failure struct {
	count int
	last  time.Time
}

// wait is how long after its last failure a name has to wait.
func (f failure) wait(longest time.Duration) time.Duration {
	if f.count < freeFailures {
		return 0
	}
	return min(firstWait<<min(f.count-freeFailures, 10), longest)
}

// failures counts failed logins by name, known or not.
type failures struct {
	mu      sync.Mutex
	byName  map[string]failure
	longest time.Duration
}

func newFailures(longest time.Duration) *failures {
	return &failures{byName: map[string]failure{}, longest: longest}
}

// forgetAfter is when failures no longer count: well after the longest wait, or
// whoever waits for it would begin anew.
func (f *failures) forgetAfter() time.Duration { return max(forgetAfter, 4*f.longest) }

// allowed tells whether a name may try now; the error says how long to wait.
func (f *failures) allowed(name string, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.check(name, now)
}

// charge counts a try as failed before its outcome is known, so that many at
// once cannot slip through together; forget takes it back.
func (f *failures) charge(name string, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(name, now); err != nil {
		return err
	}
	f.count(name, now)
	return nil
}

func (f *failures) check(name string, now time.Time) error {
	past := f.byName[name]
	if left := past.last.Add(past.wait(f.longest)).Sub(now); left > 0 {
		return fleet.Errorf(fleet.Unavailable, "cannot log in %q after %d failed tries: %w", name, past.count, &rpc.RetryAfter{Wait: left})
	}
	return nil
}

func (f *failures) add(name string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(name, now)
}

func (f *failures) count(name string, now time.Time) {
	if _, known := f.byName[name]; !known && len(f.byName) >= maxNames {
		f.makeRoom(now)
	}
	past := f.byName[name]
	if now.Sub(past.last) > f.forgetAfter() {
		past.count = 0
	}
	f.byName[name] = failure{past.count + 1, now}
}

func (f *failures) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byName, name)
}

// makeRoom drops what is old, or else the name that failed longest ago.
func (f *failures) makeRoom(now time.Time) {
	oldest, at := "", now
	for name, past := range f.byName {
		if now.Sub(past.last) > f.forgetAfter() {
			delete(f.byName, name)
		} else if !past.last.After(at) {
			oldest, at = name, past.last
		}
	}
	if len(f.byName) >= maxNames {
		delete(f.byName, oldest)
	}
}
