// Package problem keeps what is wrong and stays wrong: the server cannot be
// reached, the cache disk is full, a certificate is about to end.
//
// An error is an event and belongs to the call that failed; a problem is a
// state and belongs to the status page. Each kind is declared once, as a value
// with a stable code that monitoring may match, a title, a severity and a
// remedy: what the reader can do. A part sets a problem when it finds it and
// clears it when it finds it gone; both may be repeated freely, and only real
// changes reach the subscribers.
//
// Nothing here reads a clock, writes or starts a goroutine. Problems are not
// kept over a restart: whoever found them finds them again.
package problem

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Severity says how much a problem matters to the user of the machine.
type Severity int

// The severities, in rising order.
const (
	Low    Severity = iota + 1 // nobody loses anything yet
	Medium                     // something does not work and will work again by itself
	High                       // somebody has to act
)

// String is "low", "medium" or "high".
func (s Severity) String() string {
	switch s {
	case Low:
		return "low"
	case Medium:
		return "medium"
	case High:
		return "high"
	}
	return fmt.Sprintf("Severity(%d)", int(s))
}

// MarshalText makes a severity its word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Kind declares one thing that can be wrong. A Kind is made once, as a package
// variable, and never changed.
type Kind struct {
	Code     string   `json:"code"`  // stable, like "server-unreachable"
	Title    string   `json:"title"` // a sentence without its full stop
	Severity Severity `json:"severity"`
	Remedy   string   `json:"remedy"` // what to do; names the command where there is one
}

// Problem is a kind that is wrong at present.
type Problem struct {
	Kind
	Detail string    `json:"detail"` // this case: the address, the path, the cause
	Since  time.Time `json:"since"`  // when it was first set
}

// Change is one real change of a [Tracker].
type Change struct {
	Problem Problem // for a cleared one, as it was last
	Cleared bool
}

// Tracker holds the problems of one program. Its methods may be called
// concurrently.
type Tracker struct {
	now func() time.Time

	mu          sync.Mutex
	current     map[string]Problem // by code
	subscribers map[int]func(Change)
	nextID      int
	queue       []Change
	delivering  bool
}

// NewTracker returns an empty tracker that takes the time from now.
func NewTracker(now func() time.Time) *Tracker {
	return &Tracker{now: now, current: map[string]Problem{}, subscribers: map[int]func(Change){}}
}

// Set notes that kind is wrong. A second Set keeps Since, and is a change only
// if the detail differs.
func (t *Tracker) Set(kind *Kind, detail string) {
	t.mu.Lock()
	p, was := t.current[kind.Code]
	if was && p.Detail == detail {
		t.mu.Unlock()
		return
	}
	if !was {
		p = Problem{Kind: *kind, Since: t.now()}
	}
	p.Detail = detail
	t.current[kind.Code] = p
	t.queue = append(t.queue, Change{Problem: p})
	t.deliver()
}

// Clear notes that kind is right again.
func (t *Tracker) Clear(kind *Kind) {
	t.mu.Lock()
	p, was := t.current[kind.Code]
	if !was {
		t.mu.Unlock()
		return
	}
	delete(t.current, kind.Code)
	t.queue = append(t.queue, Change{Problem: p, Cleared: true})
	t.deliver()
}

// Update sets kind with the text of err, or clears it when err is nil: the
// usual end of an attempt.
func (t *Tracker) Update(kind *Kind, err error) {
	if err == nil {
		t.Clear(kind)
		return
	}
	t.Set(kind, err.Error())
}

// List returns what is wrong, worst first, then oldest first.
func (t *Tracker) List() []Problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Problem, 0, len(t.current))
	for _, p := range t.current {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), a.Since.Compare(b.Since), cmp.Compare(a.Code, b.Code))
	})
	return list
}

// Subscribe calls f with each change from now on, one at a time and in order,
// until the returned function is called. f runs in the goroutine of some Set or
// Clear, not necessarily the one whose change it gets, so it must be quick; it
// may call the tracker.
func (t *Tracker) Subscribe(f func(Change)) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := t.nextID
	t.nextID++
	t.subscribers[id] = f
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.subscribers, id)
	}
}

// deliver hands the queue to the subscribers and unlocks t.mu, which the caller
// holds. Only one goroutine delivers at a time; the others leave their changes
// in the queue to it.
func (t *Tracker) deliver() {
	defer t.mu.Unlock()
	if t.delivering {
		return
	}
	t.delivering = true
	defer func() { t.delivering = false }()
	for len(t.queue) > 0 {
		change := t.queue[0]
		t.queue = t.queue[1:]
		ids := make([]int, 0, len(t.subscribers))
		for id := range t.subscribers {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			f, still := t.subscribers[id]
			if !still {
				continue
			}
			t.call(f, change)
		}
	}
}

// call calls f without the lock and takes it again, also after a panic.
func (t *Tracker) call(f func(Change), change Change) {
	t.mu.Unlock()
	defer t.mu.Lock()
	f(change)
}
