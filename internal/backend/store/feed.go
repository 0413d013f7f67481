package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// Revisions is the topic of every commit that made a revision.
const Revisions = "revisions"

// channel is the database's own name for our wake-ups.
const channel = "fernwerk"

// maxTopic keeps a wake-up within what PostgreSQL carries (8,000 bytes).
const maxTopic = 200

// relisten is how the way between processes is made anew.
var relisten = retry.Policy{First: 200 * time.Millisecond, Max: 10 * time.Second}

// feed wakes those who wait for rows. A wake-up carries nothing: whoever is
// woken looks at the rows. So it may come too often, and never too seldom.
type feed struct {
	self     string // in what we send, so that we know our own
	mu       sync.Mutex
	watchers map[*watcher]bool
}

type watcher struct {
	topics map[string]bool
	wake   chan struct{}
}

// Watch returns a channel that gets a value after each commit that woke one of
// the topics ([Revisions], or what others give to [Tx.Wake]), in this process
// or in another one on the same PostgreSQL. Wake-ups that nobody took yet are
// one, and now and then one comes for nothing: after the way between processes
// was broken everybody is woken, since nobody knows what was missed.
//
// Look at the rows once after Watch has returned, then after each wake-up, and
// nothing is missed. Call stop at the end.
//
// Wake-ups of other processes arrive while [Store.Serve] runs.
func (s *Store) Watch(topics ...string) (wake <-chan struct{}, stop func()) {
	w := &watcher{topics: map[string]bool{}, wake: make(chan struct{}, 1)}
	for _, t := range topics {
		w.topics[t] = true
	}
	f := &s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[w] = true
	return w.wake, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, w)
	}
}

// Wake wakes the watchers of a topic once the transaction is committed. A topic
// is a short word and perhaps an id: "bus pc1.example.org".
func (tx *Tx) Wake(topic string) {
	if tx.write == nil || topic == "" || len(topic) > maxTopic {
		panic(fmt.Sprintf("store: wake-up %.50q outside of an Update, or too long", topic))
	}
	tx.write.topics = append(tx.write.topics, topic)
}

// Shared tells whether other processes may write to the database too.
func (s *Store) Shared() bool { return s.db.Listen != nil }

// wakeAll wakes everybody; wake those of one topic.
func (f *feed) wakeAll() { f.each(func(*watcher) bool { return true }) }

func (f *feed) wake(topic string) { f.each(func(w *watcher) bool { return w.topics[topic] }) }

func (f *feed) each(wanted func(*watcher) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		if wanted(w) {
			select {
			case w.wake <- struct{}{}:
			default: // it has one waiting
			}
		}
	}
}

// tell puts the group's topics into its transaction: the database hands them
// to the other processes when, and if, it commits.
func (g *groupTx) tell() error {
	if g.s.db.Listen == nil {
		return nil
	}
	for topic := range g.topics {
		if _, err := g.tx.Exec(g.s.db.Dialect.Rebind(`SELECT pg_notify(?, ?)`), channel, g.s.feed.self+" "+topic); err != nil {
			return g.s.failed("write to", err)
		}
	}
	return nil
}

// Serve brings the wake-ups of other processes until ctx ends. A lost way is
// made anew, and everybody is woken once then.
func (s *Store) Serve(ctx context.Context) error {
	if s.db.Listen == nil {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		// Each pass begins its waits anew: one that worked for a day owes nothing.
		retry.Do(ctx, relisten, func(ctx context.Context) error {
			worked := false
			err := s.db.Listen(ctx, channel, func() { worked = true; s.feed.wakeAll() }, func(text string) {
				if from, topic, ok := strings.Cut(text, " "); ok && from != s.feed.self {
					s.feed.wake(topic)
				}
			})
			if worked {
				return nil
			}
			return err
		})
		select { // one that is broken off at once, again and again, makes no whirl
		case <-ctx.Done():
		case <-time.After(relisten.First):
		}
	}
	return nil
}
