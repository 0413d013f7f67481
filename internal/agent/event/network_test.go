package event_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/kit/places"
)

// wires is a machine's network, as it is at a time.
type wires struct {
	mu      sync.Mutex
	have    []netip.Addr
	changed func() // nil: nothing tells of changes
}

func (w *wires) set(addresses ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.have = nil
	for _, a := range addresses {
		w.have = append(w.have, netip.MustParseAddr(a))
	}
	if w.changed != nil {
		w.changed()
	}
}

// later lets time pass in the bubble.
func later(d time.Duration) { <-time.After(d) }

func TestNetwork(t *testing.T) {
	tests := []struct {
		name   string
		silent bool // nobody tells of changes: it is time to look each half minute
		story  func(w *wires)
		want   []string
	}{
		{name: "a cable is plugged in", story: func(w *wires) { later(10 * time.Second); w.set("10.0.0.7") }, want: []string{"12 net connection"}},
		{name: "nothing tells of it", silent: true, story: func(w *wires) { later(20 * time.Second); w.set("10.0.0.7") }, want: []string{"32 net connection"}},
		{name: "what is there at the start is no event", story: func(w *wires) { later(time.Second) }},
		{name: "it goes and comes", story: func(w *wires) {
			w.set("10.0.0.7")
			later(5 * time.Second)
			w.set()
			later(5 * time.Second)
			w.set("10.0.0.7")
		}, want: []string{"2 net connection", "32 net connection"}},
		{name: "a loose contact is none", story: func(w *wires) {
			w.set("10.0.0.7")
			later(time.Second)
			w.set()
		}},
		{name: "a network that flaps is no storm", story: func(w *wires) {
			for range 20 {
				w.set("10.0.0.7")
				later(3 * time.Second)
				w.set()
				later(1500 * time.Millisecond)
			}
			w.set("10.0.0.7")
		}, want: []string{"2 net connection", "32 net connection", "65 net connection", "95 net connection"}}, // when it is there after the rest
		{name: "a tunnel beside it", story: func(w *wires) {
			w.set("10.0.0.7")
			later(30 * time.Second)
			w.set("10.0.0.7", "10.134.0.9")
		}, want: []string{"2 net connection", "32 net connection"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wires{}
				n := &event.Network{Out: make(event.Occurrences),
					Addresses: func() ([]netip.Addr, error) {
						w.mu.Lock()
						defer w.mu.Unlock()
						return w.have, nil
					},
					Changes: func(ctx context.Context, changed func()) {
						if !tt.silent {
							w.mu.Lock()
							w.changed = changed
							w.mu.Unlock()
						}
						for ctx.Err() == nil {
							select {
							case <-time.After(places.Slow):
								if tt.silent {
									changed()
								}
							case <-ctx.Done():
							}
						}
					}}
				go func() {
					later(time.Millisecond) // it has looked for the first time
					tt.story(w)
				}()
				if d := cmp.Diff(tt.want, watch(t, n.Serve, n.Out, 2*time.Minute, 0)); d != "" {
					t.Errorf("-want +got:\n%s", d)
				}
			})
		})
	}
}
