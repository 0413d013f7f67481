// Package trust keeps what this machine believes of content, and says no to the
// rest.
//
// What counts as believed is decided by fleet/trust; here are the things that it
// does without: the database, in which every step is durable before it counts; the
// line, on which nothing is read behind what was announced; and the machine's own
// policy. Whatever fails, the last good documents stay and go on counting: a
// machine starts, and uses what it has, without a server and with documents that
// are long past their time. How long, [Keeper.Status] says.
//
// The way in is one digest of one root, the pin, which came with the machine's
// token. From there the machine follows root by root, as many as there are. Another
// pin, which only somebody on the machine can set, begins anew.
//
// # The clock
//
// A timestamp says when it was signed, and it cannot be earlier now: so a machine
// whose battery is empty does not take old documents for fresh. A clock that is far
// ahead makes documents look stale, and does nothing else.
package trust

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Demand is what the machine's identity says of content.
type Demand struct {
	Policy enrol.Policy
	Pin    Pin
}

// Pin names one root by its version and the SHA-256 of its text. The zero Pin is
// that of a machine that never got one.
type Pin struct {
	Version int64
	SHA256  string // hexadecimal
}

// Config is what a Keeper needs.
type Config struct {
	Store *store.Store
	// Demand is asked each time, so that a policy counts from the moment it is set.
	Demand func() (Demand, error)
	// Base is where the documents are, https://server:4447/v1/trust.
	Base    string
	Client  *http.Client
	Prepare func(*http.Request) error
	// Platform is this machine's, as target names have it.
	Platform string
	Now      func() time.Time
	Idle     time.Duration // for the next KiB of an answer; 0 is a minute
	// Refused is told of documents that are not believed, once for each reason; nil
	// if nobody listens.
	Refused func(ctx context.Context, text string)
	Log     *slog.Logger
}

// Keeper is the trust of one machine.
type Keeper struct {
	Config
	refreshing sync.Mutex // held by whoever fetches

	mu      sync.Mutex
	trusted *trust.Trusted // nil: no root yet; it is replaced, never changed
	state   state
	content map[string][]byte // of configuration, by its digest in hexadecimal
}

// Open goes on with what the database has. It asks nobody.
func Open(ctx context.Context, c Config) (*Keeper, error) {
	c.Idle = cmp.Or(c.Idle, time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	k := &Keeper{Config: c, content: map[string][]byte{}}
	var held trust.State
	err := k.Store.View(ctx, func(tx *store.Tx) (err error) {
		held, k.state, k.content, err = load(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if held.Root == nil {
		return k, nil
	}
	if k.trusted, err = trust.Restore(held); err != nil {
		// The agent starts all the same. Nothing is believed until the chain was
		// followed from the pin again.
		k.trusted, k.state.Tag = nil, ""
		k.state.Problem = fmt.Sprintf("the kept documents are damaged, and do not count: %v", err)
		k.Log.Error("content trust: "+k.state.Problem, "error", err)
	}
	return k, nil
}

// now is the time, as far as it can be known.
func (k *Keeper) now() (now time.Time, behind bool) {
	now = k.Now().UTC()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trusted != nil && now.Before(k.trusted.Issued()) {
		return k.trusted.Issued(), true
	}
	return now, false
}

// held is what was fetched and verified, nil if that is nothing. It must not be
// changed.
func (k *Keeper) held() *trust.Trusted {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trusted
}

// believed is what counts: what is held, if it was followed from the present pin.
func (k *Keeper) believed() *trust.Trusted {
	demand, err := k.Demand()
	if err != nil || !k.follows(demand.Pin) {
		return nil
	}
	return k.held()
}

func (k *Keeper) follows(pin Pin) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trusted != nil && k.state.Version == pin.Version && k.state.SHA256 == pin.SHA256
}

// Names are the signed names with a prefix that count here, in order.
func (k *Keeper) Names(prefix string) []string {
	t := k.believed()
	if t == nil {
		return nil
	}
	return t.Names(prefix)
}

// Digest is the SHA-256 under which a name is signed.
func (k *Keeper) Digest(name string) (sum [32]byte, ok bool) {
	t := k.believed()
	if t == nil {
		return sum, false
	}
	target, _, ok := t.Find(name)
	return target.SHA256, ok
}

// find is what is signed under a name by a role that counts.
func (k *Keeper) find(name string) (trust.Target, error) {
	t := k.believed()
	if t == nil {
		return trust.Target{}, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot believe %s: this machine holds no trust root", name),
			"fernwerk-agent trust status says why")
	}
	target, _, ok := t.Find(name)
	if !ok {
		return target, fleet.Errorf(fleet.NotFound, "cannot find %s among what is signed", name)
	}
	return target, nil
}

// Versions are the numbers of the documents held, for the server's knowledge.
func (k *Keeper) Versions() enrol.Versions {
	t := k.held()
	if t == nil {
		return nil
	}
	return t.Versions()
}

// Document is the newest held document of a role, or nil: for a server that was
// restored from a backup and knows only older ones.
func (k *Keeper) Document(role string) ([]byte, error) {
	t := k.held()
	if t == nil {
		return nil, nil
	}
	switch s := t.State(); role {
	case trust.RoleRoot:
		return s.Root, nil
	case trust.RoleTimestamp:
		return s.Timestamp, nil
	case trust.RoleSnapshot:
		return s.Snapshot, nil
	default:
		return s.Lists[role], nil
	}
}
