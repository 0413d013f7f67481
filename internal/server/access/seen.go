package access

import (
	"context"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	stampEvery  = time.Minute      // at most this often a host
	writeEvery  = 5 * time.Second  // all that are due, in one transaction
	stampBatch  = 1000             // hosts a transaction: others wait behind it
	lastWriting = 10 * time.Second // for what is due when the server stops
)

// seen collects when and from where hosts came, so that ten thousand check-ins
// are a few transactions. What is lost in a crash is less than a minute of
// lastSeen.
type seen struct {
	mu      sync.Mutex
	due     map[string]contact
	stamped map[string]time.Time // of authenticated hosts only: no more than there are rows
}

type contact struct {
	address string
	at      time.Time
}

func newSeen() *seen { return &seen{due: map[string]contact{}, stamped: map[string]time.Time{}} }

func (s *seen) note(host, address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.stamped[host]) >= stampEvery {
		s.due[host] = contact{address, now}
		s.stamped[host] = now
	}
}

func (s *seen) take(most int) map[string]contact {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]contact{}
	for host, c := range s.due {
		if len(out) == most {
			break
		}
		out[host] = c
		delete(s.due, host)
	}
	return out
}

// putBack keeps what could not be written for the next time.
func (s *seen) putBack(due map[string]contact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for host, c := range due {
		if _, newer := s.due[host]; !newer {
			s.due[host] = c
		}
	}
}

// Serve writes lastSeen and ipAddress of the hosts that came, until ctx ends,
// and then once more. It also learns which sessions other servers ended.
func (a *Access) Serve(ctx context.Context) error {
	wake, stop := a.store.Watch(endedTopic)
	defer stop()
	var soon <-chan time.Time
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.writeSeen(ctx)
			if soon == nil && a.ended.stale(a.store.Shared(), readEnded/2) {
				soon = time.After(0)
			}
			if err := a.tidyEnded(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("Ended sessions are not tidied", "error", err)
			}
		case <-wake:
			if a.store.Shared() && soon == nil {
				soon = time.After(readEndedSoon)
			}
		case <-soon:
			soon = nil
			if err := a.readEndedSessions(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("Ended sessions are not read", "error", err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWriting)
			defer cancel()
			a.writeSeen(last)
			return nil
		}
	}
}

// writeSeen writes what is due. Both columns are volatile: no journal, no
// revision, no conflict. A host that another server saw later keeps that.
func (a *Access) writeSeen(ctx context.Context) {
	for {
		due := a.seen.take(stampBatch)
		if len(due) == 0 {
			return
		}
		err := a.store.Update(ctx, store.Origin{Actor: "presence"}, func(tx *store.Tx) error {
			for host, c := range due {
				at := c.at.UTC().Format(time.DateTime)
				row, err := tx.Get(fleet.Hosts, fleet.Row{"id": host})
				if err == nil && row.Str("lastSeen") <= at {
					err = tx.Patch(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host, "ipAddress": c.address, "lastSeen": at})
				}
				if err != nil && fleet.CodeOf(err) != fleet.NotFound { // deleted meanwhile
					return err
				}
			}
			return nil
		})
		if err != nil {
			a.seen.putBack(due)
			a.log.Warn("Last contacts are not written", "hosts", len(due), "error", err)
			return
		}
	}
}
