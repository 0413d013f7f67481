package access

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/journal"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Limits of what logins and refusals may cost the journal, whatever an attacker
// does: this many entries of a kind a minute, with the number of times in each;
// further ones are counted together.
const (
	attemptsEvery = time.Minute
	attemptsMost  = 20
	unknownName   = "(unknown)"
)

// Kinds of entries.
const (
	opLogin   = "login"
	opFailed  = "login failed"
	opRefused = "refused"
)

// attempt is what is counted together.
type attempt struct{ op, class, name, actor, address, method string }

// attempts collects logins of people, failed logins and refusals, and writes
// them to the journal. Logins of hosts are no news: lastSeen has them.
type attempts struct {
	store *store.Store
	log   *slog.Logger

	mu     sync.Mutex
	counts map[attempt]int64
	kinds  map[string]int   // entries by op
	more   map[string]int64 // times by op, beyond the limit
}

func newAttempts(s *store.Store, log *slog.Logger) *attempts {
	a := &attempts{store: s, log: log}
	a.reset()
	return a
}

func (a *attempts) reset() {
	a.counts, a.kinds, a.more = map[attempt]int64{}, map[string]int{}, map[string]int64{}
}

func (a *attempts) count(e attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.counts[e]; !known {
		if a.kinds[e.op] >= attemptsMost {
			a.more[e.op]++
			return
		}
		a.kinds[e.op]++
	}
	a.counts[e]++
}

func (a *attempts) login(actor methods.Actor, address string) {
	a.count(attempt{opLogin, journal.AccountClass, actor.ID, string(actor.Role) + " " + actor.ID, address, ""})
}

// failed counts a failed login. A name that nobody has is not kept: the journal
// is no place for what a stranger likes to write, or mistyped as a password.
func (a *attempts) failed(class, name string, known bool, address string) {
	if !known {
		class, name = journal.AccountClass, unknownName
	}
	a.count(attempt{opFailed, class, name, "nobody", address, ""})
}

func (a *attempts) refused(actor methods.Actor, method string) {
	class := journal.AccountClass
	if actor.Role == methods.Host || actor.Role == methods.Depot {
		class = fleet.Hosts.Name
	}
	a.count(attempt{opRefused, class, actor.ID, string(actor.Role) + " " + actor.ID, actor.Address, method})
}

// Serve writes what was collected once a minute, and once more when ctx ends.
func (a *attempts) Serve(ctx context.Context) error {
	ticker := time.NewTicker(attemptsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.write(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWriting)
			defer cancel()
			a.write(last)
			return nil
		}
	}
}

func (a *attempts) write(ctx context.Context) {
	a.mu.Lock()
	counts, more := a.counts, a.more
	a.reset()
	a.mu.Unlock()
	for op, n := range more {
		counts[attempt{op: op, class: journal.AccountClass, name: "(others)", actor: "nobody"}] = n
	}
	for e, n := range counts {
		err := a.store.Update(ctx, store.Origin{Actor: e.actor, Address: e.address}, func(tx *store.Tx) error { return a.journal(tx, e, n) })
		if err != nil {
			a.log.Warn("An audit entry is not written", "operation", e.op, "object", e.name, "times", n, "error", err)
		}
	}
}

func (a *attempts) journal(tx *store.Tx, e attempt, n int64) error {
	details := fleet.Row{"times": n}
	if e.method != "" {
		details["method"] = e.method
	}
	if e.op == opLogin {
		err := tx.Patch(fleet.Users, fleet.Row{"id": e.name, "lastLogin": tx.Stamp()})
		if err != nil && fleet.CodeOf(err) != fleet.NotFound { // removed meanwhile
			return err
		}
	}
	return tx.Note(e.class, e.name, e.op, details)
}

// Audit is the service that writes logins and refusals to the journal.
func (a *Access) Audit() interface{ Serve(context.Context) error } { return a.attempts }
