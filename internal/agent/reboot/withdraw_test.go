package reboot

import (
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// A request is withdrawn only if all who asked can, and nobody said yes to it.
func TestWithdraw(t *testing.T) {
	hour := Policy{Warning: time.Hour}
	offer, action := ask(Wish{Text: "ready", Offer: true, Policy: hour}), ask(Wish{Text: "driver", Policy: hour})
	accept := func(tx *store.Tx) error { return Accept(tx, "boot 1") }
	for _, c := range []struct {
		name string
		did  []func(*store.Tx) error
		want bool
	}{
		{"nothing waits", nil, false},
		{"an offer", []func(*store.Tx) error{offer, offer}, true},
		{"an action's", []func(*store.Tx) error{action}, false},
		{"an action's before", []func(*store.Tx) error{action, offer}, false},
		{"an action's after", []func(*store.Tx) error{offer, action}, false},
		{"accepted", []func(*store.Tx) error{offer, accept}, false},
		{"accepted, and offered again", []func(*store.Tx) error{offer, accept, offer}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			for _, fn := range c.did {
				update(t, s, fn)
			}
			update(t, s, func(tx *store.Tx) error {
				got, err := Withdraw(tx, "boot 1")
				if _, waits, _ := Read(tx, "boot 1"); got != c.want || waits != (len(c.did) > 0 && !c.want) {
					t.Errorf("withdrawn %v, waits %v", got, waits)
				}
				return err
			})
		})
	}
}
