// Package trust keeps and serves the documents of content trust (package
// fleet/trust), and signs the part of them that is the server's.
//
// An administrator signs root and targets with keys that are on no server, and
// hands both in ([Trust.Publish]). The server holds three keys: for the timestamp
// and the snapshot, by which hosts see that what they get is the newest and
// belongs together, and for the one role delegated to it, depot. So whoever takes
// the server over can hold back what is new, and can vouch for a changed tree of a
// product to hosts whose policy is delegated; he cannot add a product, an update
// or a configuration, nor go back to an old one.
//
// # Rows
//
// All is in the database, in classes of its own that are not journaled:
//
//	trustDocument  each document that counts, by role and version; all roots
//	trustContent   the bytes of targets that have content: updates, configuration
//
// The online keys are a secret of the cluster (package cluster). A change takes a
// transaction: what came is checked against what is there, snapshot and timestamp
// are made with the next numbers, and all of it counts or nothing. Transactions
// are in one order, also those of several servers on one database, so a number is
// given once and every server serves the same.
//
// # What the role depot signs
//
// It is not kept but follows from the trees that depots have (package depots) and
// the list that was signed offline: a tree of a version that is on the list, and
// differs from what is signed there for every platform, was changed by postinst,
// and is signed for those platforms, with the scripts that were signed offline. It
// follows in the transaction that changes a tree ([Trust.Follow]), so that a
// product is never published a moment before its signature, and goes with it.
//
// # Freshness
//
// The timestamp counts for four days and is signed anew each day; a server may be
// away for a long weekend before anybody says that what he has is stale. Expiry
// is a sign of freshness only: hosts go on with what they have. So laptops that
// sleep for months need nothing from us.
//
// # After a restore
//
// A server that was restored from a backup knows fewer documents than its hosts,
// and they refuse to go back. They show what they have when they check in
// ([Trust.StepOver]): what is validly signed with a higher number is taken where
// it is whole (a root, a list whose contents are there); of our own documents we
// sign the next number at once.
package trust

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/retry"
)

// topic wakes the servers of one database when the documents have changed.
const topic = "trust"

// How long what the server signs counts, and when it is signed anew.
const (
	timestampLife = 4 * 24 * time.Hour
	timestampEach = 24 * time.Hour
	listLife      = 365 * 24 * time.Hour // snapshot and the role depot
	listLeft      = 90 * 24 * time.Hour
	lookEach      = 10 * time.Minute
)

// Secrets keeps secrets of all servers on the database.
type Secrets interface {
	Find(tx *store.Tx, name string) ([]byte, error)
	Keep(tx *store.Tx, name string, plain []byte) error
}

// Config is what a Trust needs. Policies may be nil.
type Config struct {
	Store   *store.Store
	Secrets Secrets
	Log     *slog.Logger
	Now     func() time.Time
	// Policies are what hosts last said of their policy, by host id.
	Policies func(*store.Tx) (map[string]enrol.Policy, error)
}

// Trust is the server's part of content trust.
type Trust struct {
	Config
	served atomic.Pointer[served]
	change sync.Mutex // of served
}

// New opens what the database holds, and makes the online keys if there are none.
func New(ctx context.Context, c Config) (*Trust, error) {
	t := &Trust{Config: c}
	t.served.Store(&served{})
	err := c.Store.Update(ctx, self, func(tx *store.Tx) error {
		keys, err := t.keys(tx)
		if err != nil || keys != nil {
			return err
		}
		return t.keep(tx, newRing())
	})
	if err != nil {
		return nil, err
	}
	return t, t.refresh(ctx)
}

// self is who signs what is due.
var self = store.Origin{Actor: "server"}

// Serve signs what is due, and serves what other servers have signed, until ctx
// ends.
func (t *Trust) Serve(ctx context.Context) error {
	woken, stop := t.Store.Watch(topic)
	defer stop()
	look := time.NewTicker(lookEach)
	defer look.Stop()
	for {
		err := retry.Do(ctx, retry.Policy{}, func(ctx context.Context) error {
			if err := t.renew(ctx); err != nil {
				t.Log.Warn("Cannot sign what is due", "err", err, "hint", fleet.HintOf(err))
			}
			return t.refresh(ctx)
		})
		if err != nil && ctx.Err() == nil {
			t.Log.Warn("Cannot read the documents of content trust", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-woken:
		case <-look.C:
		}
	}
}

// renew signs the timestamp anew if that is due, and whatever else is.
func (t *Trust) renew(ctx context.Context) error {
	if s := t.served.Load(); !s.due(t.Now()) {
		return nil
	}
	return t.Store.Update(ctx, self, t.Follow)
}

// Expires is when the timestamp ends; the zero time if there is none.
func (t *Trust) Expires() time.Time { return t.served.Load().expires }
