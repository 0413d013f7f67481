package access

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	endedTopic = "sessions" // wakes the other servers
	// endsOfOne bounds the rows that one principal makes by logging in and out:
	// beyond them all its sessions end together, in one row.
	endsOfOne = 16
	// readEnded is how old the list may be if no wake-up comes. It is read soon
	// after one: thousands of clients log out at once, and each reading is of all.
	readEnded     = 10 * time.Second
	readEndedSoon = 250 * time.Millisecond
)

// Ended says that a session, or all that a principal has begun before a time,
// does not count any more though its token would. The row goes when the last
// such token has ended by itself.
type Ended struct {
	Name   string `col:"name,ident"` // id of a session, or "role id" of a principal
	Actor  string `col:"actor"`      // whose it is, "role id"
	Before int64  `col:"before"`     // Unix seconds: begun up to then; for a principal
	Until  int64  `col:"until"`      // Unix seconds: when the row is not needed any more
}

// EndedSessions is the class of Ended.
var EndedSessions = fleet.LocalClass[Ended]("sessionEnd")

// ended is what this server knows of ended sessions. It knows at once what it
// ended itself, within moments what others did (a wake-up), and within
// readEnded if no wake-up gets through.
type ended struct {
	mu     sync.Mutex
	byName map[string]Ended
	read   time.Time // by the wall clock, which is what ages a list
}

func (e *ended) counts(s *session) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, gone := e.byName[s.name()]; gone {
		return true
	}
	all, gone := e.byName[actorName(s.role, s.actor)]
	return gone && s.begun.Unix() <= all.Before
}

func (e *ended) of(actor string) (names []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, end := range e.byName {
		if end.Actor == actor && name != actor {
			names = append(names, name)
		}
	}
	return names
}

func (e *ended) add(end Ended, instead []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range instead {
		delete(e.byName, name)
	}
	e.byName[end.Name] = end
}

// stale tells whether the list must be read: on a database of our own once.
func (e *ended) stale(shared bool, age time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.read.IsZero() || shared && time.Since(e.read) >= age
}

// readEndedSessions reads the list anew.
func (a *Access) readEndedSessions(ctx context.Context) error {
	began := time.Now()
	return a.store.View(ctx, func(tx *store.Tx) error {
		rows, err := store.All[Ended](tx, EndedSessions, nil)
		if err != nil {
			return err
		}
		a.ended.mu.Lock()
		defer a.ended.mu.Unlock()
		now := a.now().Unix()
		known := a.ended.byName
		a.ended.byName, a.ended.read = make(map[string]Ended, len(rows)), began
		for _, r := range rows {
			a.ended.byName[r.Name] = r
		}
		// What was ended here while the rows were read.
		for name, r := range known {
			if _, there := a.ended.byName[name]; !there && r.Until > now {
				a.ended.byName[name] = r
			}
		}
		return nil
	})
}

// tidyEnded drops the rows that nobody needs any more.
func (a *Access) tidyEnded(ctx context.Context) error {
	now, some := a.now().Unix(), false
	a.ended.mu.Lock()
	for name, r := range a.ended.byName {
		if r.Until <= now {
			delete(a.ended.byName, name)
			some = true
		}
	}
	a.ended.mu.Unlock()
	if !some {
		return nil
	}
	return a.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		rows, err := store.All[Ended](tx, EndedSessions, nil)
		for _, r := range rows {
			if err == nil && r.Until <= now {
				err = tx.Remove(EndedSessions, EndedSessions.Encode(r))
			}
		}
		return err
	})
}

// Logout ends the sessions that a request shows. It is done when the answer is:
// after an error the client shall try again.
func (a *Access) Logout(w http.ResponseWriter, r *http.Request) error {
	for _, s := range a.sessionsOf(r) {
		if err := a.endOne(r.Context(), s, store.Origin{Actor: actorName(s.role, s.actor), Address: address(r)}); err != nil {
			return err
		}
	}
	http.SetCookie(w, cookie("", -1))
	return nil
}

func (a *Access) endOne(ctx context.Context, s *session, origin store.Origin) error {
	if a.ended.counts(s) {
		return nil
	}
	actor := actorName(s.role, s.actor)
	if len(a.ended.of(actor)) >= endsOfOne {
		return a.EndSessions(ctx, origin, s.role, s.actor)
	}
	// A token of this session that is on its way may be newer than this one.
	return a.end(ctx, origin, Ended{Name: s.name(), Actor: actor, Until: a.now().Add(2 * longer(s.life)).Unix()})
}

// longer is a life with what is added to it until the last token of it ends.
func longer(life time.Duration) time.Duration { return life + life/4 + time.Minute }

// EndSessions ends all sessions of a principal, on every server. It does not
// keep him from logging in again.
func (a *Access) EndSessions(ctx context.Context, origin store.Origin, role methods.Role, id string) error {
	now, actor := a.now(), actorName(role, id)
	return a.end(ctx, origin, Ended{Name: actor, Actor: actor, Before: now.Unix(), Until: now.Add(2 * longer(longestLife)).Unix()}, a.ended.of(actor)...)
}

// end writes an end, instead of others.
func (a *Access) end(ctx context.Context, origin store.Origin, end Ended, instead ...string) error {
	err := a.store.Update(ctx, origin, func(tx *store.Tx) error {
		for _, name := range instead {
			if err := tx.Remove(EndedSessions, fleet.Row{"name": name}); err != nil {
				return err
			}
		}
		tx.Wake(endedTopic)
		return tx.Put(EndedSessions, EndedSessions.Encode(end))
	})
	if err != nil {
		return err
	}
	a.ended.add(end, instead)
	a.ends.Add(1)
	return nil
}

func actorName(role methods.Role, id string) string { return string(role) + " " + id }
