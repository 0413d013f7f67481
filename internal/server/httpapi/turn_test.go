package httpapi

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func refusedTurn(err error) bool {
	_, later := errors.AsType[*rpc.RetryAfter](err)
	return fleet.CodeOf(err) == fleet.Unavailable && later
}

// A host that asks for too much at once, or too fast, has to wait; nobody else has.
func TestTurns_AHostHurtsItselfOnly(t *testing.T) {
	evil, good := methods.Actor{Role: methods.Host, ID: "evil"}, methods.Actor{Role: methods.Host, ID: "good"}
	admin := methods.Actor{Role: methods.Administrator, ID: "evil"}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var all turns
	var open []func()
	for range hostAtOnce {
		done, err := all.take(evil, now)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, done)
	}
	if _, err := all.take(evil, now); !refusedTurn(err) {
		t.Errorf("one more at once: %v", err)
	}
	for _, other := range []methods.Actor{good, admin} {
		if done, err := all.take(other, now); err != nil {
			t.Errorf("%v: %v", other, err)
		} else {
			done()
		}
	}
	for _, done := range open {
		done()
	}
	refused := 0
	for range 2 * hostBurst {
		if done, err := all.take(evil, now); err == nil {
			done()
		} else if refused++; !refusedTurn(err) {
			t.Fatal(err)
		}
	}
	if refused < hostBurst/2 {
		t.Errorf("%d of %d refused", refused, 2*hostBurst)
	}
	now = now.Add(hostBurst * hostGap)
	if done, err := all.take(evil, now); err != nil {
		t.Errorf("after a wait: %v", err)
	} else {
		done()
	}
	for i := range 1000 {
		done, err := all.take(methods.Actor{Role: methods.Host, ID: fmt.Sprint(i)}, now)
		if err != nil {
			t.Fatal(err)
		}
		done()
	}
	now = now.Add(2 * time.Minute)
	if done, err := all.take(good, now); err != nil || len(all.by) != 1 {
		t.Errorf("%v; %d hosts are remembered", err, len(all.by))
	} else {
		done()
	}
}
