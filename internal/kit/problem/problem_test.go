package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	unreachable = &Kind{"server-unreachable", "The server cannot be reached", Medium, "Check the line"}
	diskFull    = &Kind{"cache-disk-full", "The cache disk is full", High, "Make room in the cache folder"}
	clockOff    = &Kind{"clock-off", "The clock differs from the server's", Low, "Start a time service"}
)

// clock is a time that the test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func record(t *Tracker) (changes *[]string, stop func()) {
	changes = new([]string)
	return changes, t.Subscribe(func(c Change) {
		verb := "set"
		if c.Cleared {
			verb = "clear"
		}
		*changes = append(*changes, fmt.Sprint(verb, " ", c.Problem.Code, " ", c.Problem.Detail))
	})
}

func TestTracker_OnlyRealChangesAreTold(t *testing.T) {
	tracker := NewTracker(newClock().now)
	changes, stop := record(tracker)
	tracker.Clear(diskFull)
	tracker.Set(diskFull, "/var")
	tracker.Set(diskFull, "/var")
	tracker.Set(diskFull, "/srv")
	tracker.Update(unreachable, errors.New("refused"))
	tracker.Update(unreachable, nil)
	tracker.Update(unreachable, nil)
	tracker.Clear(diskFull)
	stop()
	tracker.Set(diskFull, "/var")
	want := []string{
		"set cache-disk-full /var", "set cache-disk-full /srv",
		"set server-unreachable refused", "clear server-unreachable refused", "clear cache-disk-full /srv",
	}
	if diff := cmp.Diff(want, *changes); diff != "" {
		t.Error(diff)
	}
}

func TestTracker_List(t *testing.T) {
	c := newClock()
	start := c.at
	tracker := NewTracker(c.now)
	tracker.Set(clockOff, "5 min")
	c.at = start.Add(time.Minute)
	tracker.Set(unreachable, "a")
	c.at = start.Add(time.Hour)
	tracker.Set(diskFull, "/var")
	tracker.Set(unreachable, "b") // keeps its Since
	want := []Problem{
		{*diskFull, "/var", start.Add(time.Hour)},
		{*unreachable, "b", start.Add(time.Minute)},
		{*clockOff, "5 min", start},
	}
	if diff := cmp.Diff(want, tracker.List()); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(tracker.List()[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"code":"cache-disk-full","title":"The cache disk is full","severity":"high","remedy":"Make room in the cache folder","detail":"/var","since":"2026-01-02T04:04:05Z"}`; string(text) != want {
		t.Errorf("got %s", text)
	}
	tracker.Clear(unreachable)
	c.at = start.Add(2 * time.Hour)
	tracker.Set(unreachable, "c")
	if got := tracker.List()[1].Since; !got.Equal(c.at) {
		t.Errorf("a problem that came back dates from %v", got)
	}
}

func TestTracker_SubscriberMayCallBack(t *testing.T) {
	tracker := NewTracker(newClock().now)
	tracker.Subscribe(func(c Change) {
		if c.Problem.Code == unreachable.Code && !c.Cleared {
			tracker.Set(clockOff, "unknown")
		}
		tracker.List()
	})
	changes, _ := record(tracker)
	tracker.Set(unreachable, "x")
	want := []string{"set server-unreachable x", "set clock-off unknown"}
	if diff := cmp.Diff(want, *changes); diff != "" {
		t.Error(diff)
	}
}

func TestTracker_ConcurrentChangesArriveInOrder(t *testing.T) {
	tracker := NewTracker(newClock().now)
	present := map[string]bool{} // as a subscriber sees it; told one at a time
	tracker.Subscribe(func(c Change) {
		if c.Cleared && !present[c.Problem.Code] {
			t.Error("cleared before it was set")
		}
		present[c.Problem.Code] = !c.Cleared
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				kind := []*Kind{unreachable, diskFull, clockOff}[(i+n)%3]
				tracker.Set(kind, fmt.Sprint(n%2))
				tracker.Clear(kind)
			}
		})
	}
	wg.Wait()
	for code, is := range present {
		if is {
			t.Errorf("%s is told to be wrong, the list has %v", code, tracker.List())
		}
	}
}
