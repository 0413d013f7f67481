// Package lease says which of several servers on one database may do what only
// one may: write a depot's folder, hold a management socket, sign.
//
// A lease is a row: a name, who holds it, until when, and a number. Taking it is
// one transaction, and raises the number; the holder renews it well before its
// end. A holder that died is followed by another one when the time is over, a
// holder that stopped gives it back.
//
// # Fencing
//
// A holder can be stopped for a minute (a laptop lid, a full disk, a lost
// database) and go on as if nothing had been. So time alone protects nothing:
// every transaction that relies on a lease asks [Held.Check] in it, which refuses
// a number that is not the newest. What is no row (files, sockets) is done under
// the context of [Leases.Do], which ends when the lease can no longer be renewed,
// before another server may take it.
//
// The clocks of the servers must agree within some seconds, as NTP has them: a
// clock that is wrong takes a lease too early, and the former holder is refused
// by its number.
//
// On SQLite there is one server, and the same rows.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Life is how long a lease lasts without being renewed.
const Life = 30 * time.Second

// renewals a life; a holder gives up one renewal before the end.
const renewals = 4

// Topic wakes those who wait for a lease, see [store.Store.Watch].
const Topic = "lease"

// ErrLost is in the chain of an error of a holder whom another one has followed.
var ErrLost = errors.New("the lease is another server's now")

type row struct {
	Name   string `col:"name,ident"`
	Holder string `col:"holder"` // "" while nobody holds it
	Run    string `col:"run"`    // the holder's process
	Number int64  `col:"number"`
	Until  int64  `col:"until"` // Unix milliseconds
	Info   string `col:"info"`  // of the holder, for the others
}

// Class is the class of leases: bookkeeping of the servers.
var Class = fleet.LocalClass[row]("lease")

// Lease is a lease as the others see it.
type Lease struct {
	Name   string
	Holder string
	Number int64
	Until  time.Time
	Info   string
}

// Leases takes leases for one server. The store was opened with [Class].
type Leases struct {
	store *store.Store
	self  string
	run   string // this process of that name
}

// New makes the Leases of a server. self is the server's name among those on its
// database; no two that run have the same. What an earlier process of that name
// left is taken over at once.
func New(s *store.Store, self string) *Leases {
	return &Leases{store: s, self: self, run: rand.Text()}
}

// Held is a lease that this server took.
type Held struct {
	leases *Leases
	row
}

// Number is the fencing number: each holder of a lease has a larger one than
// those before.
func (h *Held) Number() int64 { return h.row.Number }

// Take takes a lease. It is Locked while another server holds it, or this one
// elsewhere.
func (l *Leases) Take(ctx context.Context, name, info string) (*Held, error) {
	var h *Held
	err := l.store.Update(ctx, l.origin(), func(tx *store.Tx) error {
		r, err := find(tx, name)
		if err != nil {
			return err
		}
		left := r.Holder == l.self && r.Run != l.run
		if r.Holder != "" && !left && tx.Now().UnixMilli() < r.Until {
			return fleet.Errorf(fleet.Locked, "cannot take the lease %q: %s holds it", name, r.Holder)
		}
		r = row{Name: name, Holder: l.self, Run: l.run, Number: r.Number + 1, Until: until(tx), Info: info}
		h = &Held{leases: l, row: r}
		tx.Wake(Topic) // somebody may want to know that there is another
		return tx.Put(Class, Class.Encode(r))
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// All are the leases that somebody holds, of those whose name begins so.
func (l *Leases) All(ctx context.Context, prefix string) ([]Lease, error) {
	return l.Since(ctx, prefix, 0)
}

// Since are also those that lapsed not longer ago: their holders did not give them
// back, and may be there still.
func (l *Leases) Since(ctx context.Context, prefix string, ago time.Duration) (held []Lease, err error) {
	err = l.store.View(ctx, func(tx *store.Tx) error {
		rows, err := store.All[row](tx, Class, fleet.Filter{"name": prefix + "*"})
		for _, r := range rows {
			if r.Holder != "" && tx.Now().UnixMilli() < r.Until+ago.Milliseconds() {
				held = append(held, Lease{r.Name, r.Holder, r.Number, time.UnixMilli(r.Until), r.Info})
			}
		}
		return err
	})
	return held, err
}

// Check refuses a transaction of a holder that another one has followed, or
// that gave the lease back: it is Conflict. A holder whose time is over and whom
// nobody followed may go on.
func (h *Held) Check(tx *store.Tx) error {
	r, err := find(tx, h.Name)
	if err != nil {
		return err
	}
	if r.Number != h.row.Number || r.Holder == "" {
		return fleet.Errorf(fleet.Conflict, "cannot go on with lease %q: number %d was followed by %d: %w", h.Name, h.row.Number, r.Number, ErrLost)
	}
	return nil
}

// Still is [Held.Check] outside of a transaction of the holder's.
func (h *Held) Still(ctx context.Context) error { return h.leases.store.View(ctx, h.Check) }

// Left is how long the lease lasts as the database has it; it is negative after it
// has lapsed, and Conflict if another holder followed.
func (h *Held) Left(ctx context.Context) (left time.Duration, err error) {
	err = h.leases.store.View(ctx, func(tx *store.Tx) error {
		if err := h.Check(tx); err != nil {
			return err
		}
		r, err := find(tx, h.Name)
		left = time.UnixMilli(r.Until).Sub(tx.Now())
		return err
	})
	return left, err
}

// Renew prolongs the lease. After it has lapsed it still can be, if nobody else
// took it.
func (h *Held) Renew(ctx context.Context) error {
	return h.leases.store.Update(ctx, h.leases.origin(), func(tx *store.Tx) error {
		if err := h.Check(tx); err != nil {
			return err
		}
		r := h.row
		r.Until = until(tx)
		return tx.Put(Class, Class.Encode(r))
	})
}

// Release gives the lease back, and wakes those who wait for it.
func (h *Held) Release(ctx context.Context) error {
	return h.leases.store.Update(ctx, h.leases.origin(), func(tx *store.Tx) error {
		if err := h.Check(tx); err != nil {
			return err
		}
		tx.Wake(Topic)
		return tx.Put(Class, Class.Encode(row{Name: h.Name, Number: h.row.Number}))
	})
}

// Keep renews the lease until ctx ends, which is nil, or until it is lost.
func (h *Held) Keep(ctx context.Context) error {
	const every = Life / renewals
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		began := time.Now()
		err := h.renewUntil(ctx, last.Add(Life-every))
		switch {
		case err == nil:
			last = began
		case ctx.Err() != nil:
			return nil
		case fleet.CodeOf(err) == fleet.Conflict, time.Since(last) >= Life-every:
			return err
		}
	}
}

// renewUntil is Renew, which cannot be called back from a database that does not
// answer, and is left to itself at the deadline. Should it come through later,
// the lease lasts a little longer for nobody.
func (h *Held) renewUntil(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	renewed := make(chan error, 1)
	go func() { defer cancel(); renewed <- h.Renew(ctx) }()
	select {
	case err := <-renewed:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-renewed: // it is what ended ctx
		return err
	default:
		return fleet.Errorf(fleet.Unavailable, "cannot renew lease %q: %w", h.Name, ctx.Err())
	}
}

// Do takes a lease, waits for it while another holds it, and runs fn under it.
// fn's context ends, with the cause, when the lease is lost.
func (l *Leases) Do(ctx context.Context, name, info string, fn func(context.Context, *Held) error) error {
	h, err := l.wait(ctx, name, info)
	if err != nil {
		return err
	}
	return h.Run(ctx, fn)
}

// Run runs fn while the lease is kept, and releases it.
func (h *Held) Run(ctx context.Context, fn func(context.Context, *Held) error) error {
	working, lost := context.WithCancelCause(ctx)
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx)) // fn may have to clean up after ctx
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if err := h.Keep(keeping); err != nil {
			lost(err)
		}
	}()
	err := fn(working, h)
	stop()
	<-kept
	if cause := context.Cause(working); err != nil && ctx.Err() == nil && cause != nil {
		err = errors.Join(err, cause)
	}
	lost(nil)
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), Life/renewals)
	defer cancel()
	if gone := h.Release(releasing); gone != nil && err == nil && fleet.CodeOf(gone) == fleet.Conflict {
		err = gone
	}
	return err
}

// Watch is the store's, see [store.Store.Watch].
func (l *Leases) Watch(topics ...string) (wake <-chan struct{}, stop func()) {
	return l.store.Watch(topics...)
}

func (l *Leases) wait(ctx context.Context, name, info string) (*Held, error) {
	wake, stop := l.store.Watch(Topic)
	defer stop()
	ticker := time.NewTicker(time.Second) // a holder that died wakes nobody
	defer ticker.Stop()
	for {
		h, err := l.Take(ctx, name, info)
		if err == nil || fleet.CodeOf(err) != fleet.Locked {
			return h, err
		}
		select {
		case <-wake:
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

func (l *Leases) origin() store.Origin { return store.Origin{Actor: "replica " + l.self} }

func until(tx *store.Tx) int64 { return tx.Now().Add(Life).UnixMilli() }

// find returns the row of a lease; one that was never taken is empty.
func find(tx *store.Tx, name string) (r row, err error) {
	found, err := tx.Get(Class, fleet.Row{"name": name})
	if fleet.CodeOf(err) == fleet.NotFound {
		return row{Name: name}, nil
	}
	if err == nil {
		Class.Decode(found, &r)
	}
	return r, err
}

// Forget gives back all leases, whoever holds them, and keeps their numbers: of
// a database that was restored, where no server runs.
func Forget(ctx context.Context, s *store.Store) error {
	return s.Update(ctx, store.Origin{Actor: "restore"}, func(tx *store.Tx) error {
		rows, err := store.All[row](tx, Class, nil)
		for _, r := range rows {
			if err == nil {
				err = tx.Put(Class, Class.Encode(row{Name: r.Name, Number: r.Number}))
			}
		}
		return err
	})
}
