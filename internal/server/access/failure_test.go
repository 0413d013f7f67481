package access

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestFailuresDelayTheNameOnly(t *testing.T) {
	d := newDoor(t)
	for range freeFailures {
		if err := d.in("admin", "guess"); fleet.CodeOf(err) != fleet.Unauthenticated {
			t.Fatal(err)
		}
	}
	err := d.in("admin", "secret") // even the right one has to wait
	later, ok := errors.AsType[*rpc.RetryAfter](err)
	if fleet.CodeOf(err) != fleet.Unavailable || !ok || later.Wait != firstWait {
		t.Fatalf("%v", err)
	}
	if err := d.in("reader", "look: only"); err != nil {
		t.Errorf("another account at the same address: %v", err)
	}
	d.time = d.time.Add(firstWait)
	if err := d.in("admin", "guess"); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Fatal(err)
	}
	d.time = d.time.Add(firstWait)
	if err := d.in("admin", "secret"); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("the wait does not grow: %v", err)
	}
	d.time = d.time.Add(firstWait)
	if err := d.in("admin", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := d.in("admin", "guess"); fleet.CodeOf(err) != fleet.Unauthenticated {
		t.Errorf("a success does not forgive: %v", err)
	}
}

// Nobody locks a host out by failing in its name; its one-time password is
// guarded all the same.
func TestFailuresDoNotLockOutAHost(t *testing.T) {
	d := newDoor(t)
	for range freeFailures {
		if err := d.in("pc1.example.org", "guess"); fleet.CodeOf(err) != fleet.Unauthenticated {
			t.Fatal(err)
		}
	}
	if err := d.in("pc1.example.org", "once"); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("guessing goes on: %v", err)
	}
	if err := d.in("pc1.example.org", pc1Key); err != nil {
		t.Errorf("the right key: %v", err)
	}
}

// Many at once do not get more tries than one after the other.
func TestManyTriesAtOnce(t *testing.T) {
	d := newDoor(t)
	var wg sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		wg.Go(func() { errs[i] = d.in("admin", fmt.Sprint("guess ", i)) })
	}
	wg.Wait()
	checked := 0
	for _, err := range errs {
		if fleet.CodeOf(err) == fleet.Unauthenticated {
			checked++
		}
	}
	if most := freeFailures + cap(d.checks); checked > most {
		t.Errorf("%d passwords were checked, want at most %d", checked, most)
	}
}

func TestFailuresAreBounded(t *testing.T) {
	f := newFailures(longestWait)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range maxNames + 100 {
		now = now.Add(time.Millisecond)
		f.add(fmt.Sprint("name", i), now)
	}
	if len(f.byName) > maxNames {
		t.Errorf("%d names", len(f.byName))
	}
	if f.byName["name0"].count != 0 || f.byName[fmt.Sprint("name", maxNames+99)].count != 1 {
		t.Error("not the oldest went")
	}
	f.add("name200", now.Add(forgetAfter+time.Second))
	if got := f.byName["name200"].count; got != 1 {
		t.Errorf("a failure of long ago counts: %d", got)
	}
	d := newDoor(t)
	if err := d.in(strings.Repeat("x", maxName+1), "guess"); fleet.CodeOf(err) != fleet.Unauthenticated || len(d.failures.byName) != 0 {
		t.Errorf("an endless name is remembered: %v", err)
	}
}

func TestWaitIsCapped(t *testing.T) {
	for count, want := range map[int]time.Duration{0: 0, freeFailures - 1: 0, freeFailures: time.Second, freeFailures + 3: 8 * time.Second, 1000: longestWait} {
		if got := (failure{count: count}).wait(longestWait); got != want {
			t.Errorf("%d failures: %v, want %v", count, got, want)
		}
	}
}

func TestSeenIsCoalesced(t *testing.T) {
	d := newDoor(t)
	at := func() store.Position {
		t.Helper()
		var p store.Position
		if err := d.store.View(t.Context(), func(tx *store.Tx) (err error) { p, err = tx.Position(); return err }); err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := at()
	cookie := d.cookie("pc1.example.org", pc1Key)
	first := d.time
	d.writeSeen(t.Context())
	d.time = d.time.Add(stampEvery / 2)
	d.try("", cookie)
	d.writeSeen(t.Context())
	if h := d.host("pc1.example.org"); h.LastSeen != first.Format(time.DateTime) || h.IPAddress != "192.0.2.1" {
		t.Errorf("seen %q from %q, want %v", h.LastSeen, h.IPAddress, first)
	}
	d.time = d.time.Add(stampEvery / 2)
	d.try("", cookie)
	d.writeSeen(t.Context())
	if h := d.host("pc1.example.org"); h.LastSeen != d.time.Format(time.DateTime) {
		t.Errorf("seen %q, want %v", h.LastSeen, d.time)
	}
	if after := at(); after != before {
		t.Errorf("being seen made a revision: %v, %v", before, after)
	}
}

func TestSeenOfADeletedHostHarmsNobody(t *testing.T) {
	d := newDoor(t)
	d.cookie("pc1.example.org", pc1Key)
	d.seen.note("gone.example.org", "192.0.2.9", d.time)
	d.writeSeen(t.Context())
	if h := d.host("pc1.example.org"); h.LastSeen == "" {
		t.Error("its neighbour is not stamped")
	}
}
