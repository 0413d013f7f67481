package reboot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// MaxTries is how often a reboot is tried in one boot.
const MaxTries = 3

const (
	glance  = time.Minute            // how often the clock is looked at while a request waits
	soon    = 500 * time.Millisecond // how often whether what is being installed has ended
	asleep  = time.Minute            // a clock that jumped by more: the machine slept, or was set
	goDown  = 10 * time.Minute       // what a machine may take for going down before it is told again
	retryIn = time.Minute            // after a command that failed
)

// Config is what the keeper needs.
type Config struct {
	Store *store.Store
	Boot  string
	// Busy tells whether something is being installed that must come to its end.
	Busy func(*store.Tx) (bool, error)
	// Alone runs fn while no script changes the machine.
	Alone func(ctx context.Context, fn func() error) error
	// Restart makes the machine go down; it may return before.
	Restart func(ctx context.Context) error
	// Warn tells whoever is at the machine, in one line.
	Warn func(ctx context.Context, text string)
	// Tell keeps what happened, for people who look later.
	Tell func(ctx context.Context, text string)
	Log  *slog.Logger
}

// Keeper carries requests out.
type Keeper struct {
	cfg    Config
	wake   chan struct{}
	last   time.Time // when it looked last
	warned string    // of which request, and when it was due
}

// New makes a keeper.
func New(cfg Config) *Keeper { return &Keeper{cfg: cfg, wake: make(chan struct{}, 1)} }

// Wake makes the keeper look at what changed.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

var origin = store.Origin{Actor: "agent"}

// Serve carries requests out until ctx ends.
func (k *Keeper) Serve(ctx context.Context) error {
	k.last = time.Now()
	for {
		wait, err := k.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// never is until somebody wakes the keeper.
const never = 24 * time.Hour

// look does what is due, and says how long nothing is.
func (k *Keeper) look(ctx context.Context) (time.Duration, error) {
	now := time.Now()
	slept := now.Round(0).Sub(k.last.Round(0))-now.Sub(k.last) > asleep
	k.last = now
	if slept {
		if err := k.anew(ctx); err != nil {
			return 0, err
		}
	}
	var r Request
	var ok bool
	err := k.cfg.Store.View(ctx, func(tx *store.Tx) (err error) {
		r, ok, err = Read(tx, k.cfg.Boot)
		return err
	})
	if err != nil || !ok || r.Tries >= MaxTries {
		return never, err
	}
	if mark := r.Asked + r.Due; mark != k.warned && r.Tries == 0 {
		k.warned = mark
		k.warn(ctx, r)
	}
	if left := r.left(time.Now()); left > 0 {
		return min(left, glance), nil
	}
	done := false
	err = k.cfg.Alone(ctx, func() error {
		r, ok, err = k.begin(ctx)
		if done = ok; err != nil || !ok {
			return err
		}
		return k.restart(ctx, r)
	})
	if err == nil && !done {
		return soon, nil // it is put off, or something is being installed
	}
	return retryIn, err
}

// left is how long it is from now until the request is to be carried out.
func (r Request) left(now time.Time) time.Duration {
	due, _ := at(r.Due)
	if carried, ok := at(r.Carried); ok {
		again := goDown
		if r.Trouble != "" {
			again = retryIn
		}
		if next := carried.Add(again); next.After(due) {
			due = next
		}
	}
	return due.Sub(now)
}

// begin notes that the request is carried out, if it still is to be.
func (k *Keeper) begin(ctx context.Context) (r Request, ok bool, err error) {
	err = k.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		r, ok, err = Read(tx, k.cfg.Boot)
		if err != nil || !ok {
			return err
		}
		busy, err := k.cfg.Busy(tx)
		if ok = err == nil && !busy && r.left(tx.Now()) <= 0 && r.Tries < MaxTries; !ok {
			return err
		}
		r.Tries, r.Carried, r.Trouble = r.Tries+1, tx.Stamp(), ""
		return put(tx, r)
	})
	return r, ok, err
}

// errStays is why a machine is told again.
var errStays = errors.New("the machine did not go down")

// restart runs the command, and waits for the end.
func (k *Keeper) restart(ctx context.Context, r Request) error {
	k.cfg.Tell(ctx, fmt.Sprintf("the machine restarts: %s", r.Text))
	k.cfg.Log.Warn("The machine restarts", "why", r.Text, "try", r.Tries)
	err := k.cfg.Restart(ctx)
	if err == nil {
		timer := time.NewTimer(goDown)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			err = errStays
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := fmt.Sprintf("cannot restart the machine: %v", err)
	if r.Tries >= MaxTries {
		text += fmt.Sprintf("; given up after %d tries, restart it by hand", r.Tries)
	}
	k.cfg.Log.Error("Restart failed", "error", err, "try", r.Tries)
	k.cfg.Tell(ctx, text)
	return k.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		now, ok, err := Read(tx, k.cfg.Boot)
		if err != nil || !ok || now.Carried != r.Carried {
			return err
		}
		now.Trouble = text
		return put(tx, now)
	})
}

// anew gives a request its warning time again: nobody saw it while the machine slept.
func (k *Keeper) anew(ctx context.Context) error {
	return k.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		r, ok, err := Read(tx, k.cfg.Boot)
		if err != nil || !ok || r.Carried != "" {
			return err
		}
		if again := stamp(tx.Now().Add(time.Duration(r.Warning) * time.Second)); r.left(tx.Now()) <= 0 && again > r.Due {
			r.Due = again
			return put(tx, r)
		}
		return nil
	})
}

// warn tells of a request that waits.
func (k *Keeper) warn(ctx context.Context, r Request) {
	left := r.left(time.Now()).Round(time.Second)
	if left <= 0 {
		return
	}
	text := fmt.Sprintf("This machine restarts in %v (%s UTC): %s.", left, r.Due, r.Text)
	if left > 366*24*time.Hour {
		text = fmt.Sprintf("This machine wants to restart: %s. It does when somebody agrees: fernwerk-agent reboot accept.", r.Text)
	} else if r.MayDefer > 0 {
		text += fmt.Sprintf(" It can be put off %d times: fernwerk-agent reboot later.", r.MayDefer)
	}
	k.cfg.Log.Info("A reboot waits", "due", r.Due, "why", r.Text)
	k.cfg.Warn(ctx, text)
}
