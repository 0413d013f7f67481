// Package turn lets servers that share one depot folder write it one after the
// other, and tells the others when they should look again.
//
// The turn is a lease of the database. Whoever gets it first puts in order what a
// holder that died left halfway. Rows are fenced by the lease's number (see
// [methods.Fenced]): of a server that was stopped so long that another one took the
// turn, no transaction counts. Renames in the folder cannot be fenced by a
// database; they come right after a checked transaction, so what is left is a
// server that stops for longer than a lease between those two steps.
//
// Where one server has the folder for itself there are no turns to take: all
// methods let everybody through.
package turn

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
)

// lookAgain is how often a follower looks for what a dead writer left.
const lookAgain = 30 * time.Second

// Turns are the turns at one depot.
type Turns struct {
	leases *lease.Leases
	name   string
}

// heldKey is the context's key for the lease under which fn runs. A server may
// have lost one and got the next: whoever runs under the first has no part in it.
type heldKey struct{}

// New makes the turns at a depot; leases is nil where nobody shares it.
func New(leases *lease.Leases, depot string) *Turns {
	return &Turns{leases: leases, name: "depot " + depot}
}

// Open makes sure that nobody else writes the folder who does not take turns:
// without turns it holds the lock file until release.
func (t *Turns) Open(lockFile string) (release func() error, err error) {
	if t.Shared() {
		return func() error { return nil }, nil
	}
	lock, err := filelock.Acquire(lockFile)
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}

// Shared tells whether there are turns to take.
func (t *Turns) Shared() bool { return t.leases != nil }

// Do waits for the turn, and runs order and then fn in it.
func (t *Turns) Do(ctx context.Context, order, fn func(context.Context) error) error {
	if !t.Shared() {
		return fn(ctx)
	}
	return t.leases.Do(ctx, t.name, "", t.under(order, fn))
}

// Try runs order if nobody else has the turn, which then is in order, and look
// otherwise.
func (t *Turns) Try(ctx context.Context, order, look func(context.Context) error) error {
	if !t.Shared() {
		return order(ctx)
	}
	h, err := t.leases.Take(ctx, t.name, "")
	if fleet.CodeOf(err) == fleet.Locked {
		return look(ctx)
	}
	if err != nil {
		return err
	}
	return h.Run(ctx, t.under(order))
}

func (t *Turns) under(steps ...func(context.Context) error) func(context.Context, *lease.Held) error {
	return func(ctx context.Context, h *lease.Held) error {
		// A transaction of a server that lost its turn is refused; those who
		// follow are woken.
		ctx = methods.Fenced(context.WithValue(ctx, heldKey{}, h), func(tx *store.Tx) error {
			tx.Wake(t.name)
			return h.Check(tx)
		})
		for _, step := range steps {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// Still is an error if another server, or this one again, has had the turn since
// ctx was given to fn, or if that cannot be known: what was begun is his to put
// in order then.
func (t *Turns) Still(ctx context.Context) error {
	if !t.Shared() {
		return nil
	}
	h, ok := ctx.Value(heldKey{}).(*lease.Held)
	if !ok {
		return lease.ErrLost
	}
	return h.Still(ctx)
}

// Follow calls look whenever another server may have changed the depot, and
// tries order now and then, until ctx ends. Errors are for log.
func (t *Turns) Follow(ctx context.Context, order, look func(context.Context) error, log func(error)) {
	if !t.Shared() {
		return
	}
	wake, stop := t.leases.Watch(t.name)
	defer stop()
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-wake:
			err = look(ctx)
		case <-ticker.C:
			err = t.Try(ctx, order, look)
		case <-ctx.Done():
			return
		}
		if err != nil && ctx.Err() == nil {
			log(err)
		}
	}
}
