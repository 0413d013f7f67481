// Package configcache keeps the client's part of the configuration on this
// machine, and brings what happened here back to the server: the seed's
// ConfigCacheService.
//
// The working copy is the agent's store itself; the snapshot and the
// modification tracker are its journal. [Cache.Push] sends what the tracker
// holds and takes the server's decisions over, [Cache.Pull] fetches what
// changed on the server. A pull never touches an object that is not sent yet,
// and the tracker is cleared only by the answer to the push that sent it, in
// the transaction that takes the decisions over; so a crash anywhere sends
// again, and the server recognises it.
package configcache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/merge"
)

// State is where this client stands with its server.
type State struct {
	Server   string `col:"server,ident"` // always "config": there is one
	Epoch    string `col:"epoch"`
	Revision int64  `col:"revision"`
	Tag      string `col:"tag"`
	Scope    string `col:"scope"`  // JSON of replica.Scope
	Mark     int64  `col:"mark"`   // own revision up to which the server knows all
	Sent     int64  `col:"sent"`   // own revision up to which a push is on its way; 0: none is
	Merged   string `col:"merged"` // JSON of the server's store.Position after the last push
	Pulled   string `col:"pulled,time"`
	Pushed   string `col:"pushed,time"`
}

// States is the class of State, for [store.Open].
var States = fleet.LocalClass[State]("configCache")

var here = fleet.Row{"server": "config"}

// Cache is the config cache of one client.
type Cache struct {
	store  *store.Store
	remote methods.Backend
	client string
	log    *slog.Logger
}

// New makes the config cache of a client whose server is remote.
func New(s *store.Store, remote methods.Backend, client string, log *slog.Logger) *Cache {
	return &Cache{store: s, remote: remote, client: client, log: log}
}

// Load reads the state.
func Load(tx *store.Tx) (State, replica.Scope, error) {
	st := State{Server: "config"}
	var scope replica.Scope
	r, err := tx.ByKey(States, States.Key(here))
	if err != nil || r == nil {
		return st, scope, err
	}
	States.Decode(r, &st)
	if st.Scope != "" {
		err = json.Unmarshal([]byte(st.Scope), &scope)
	}
	return st, scope, err
}

func (st State) merged() (pos store.Position, err error) {
	if st.Merged != "" {
		err = json.Unmarshal([]byte(st.Merged), &pos)
	}
	return pos, err
}

var fromServer = store.Origin{Source: store.Replica, Actor: "config server"}

// Push sends what changed here since the last push. It says what the server
// decided, one sentence an object that did not simply arrive.
//
// A push whose answer was lost may have been merged. It is sent again as it was,
// before anything newer: else the server would take the client's own first
// change for one that somebody made meanwhile.
func (c *Cache) Push(ctx context.Context) (sent int, notes []string, err error) {
	var req replica.PushRequest
	var upTo int64
	again := false
	err = c.store.View(ctx, func(tx *store.Tx) error {
		st, scope, err := Load(tx)
		if err != nil {
			return err
		}
		pos, err := tx.Position()
		if err != nil {
			return err
		}
		upTo, again = pos.Revision, st.Sent > st.Mark
		if again {
			upTo = st.Sent
		}
		if req, err = replica.Collect(tx, scope.Depot, st.Mark, upTo); err == nil {
			req.Merged, err = st.merged()
		}
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	if len(req.Changes) == 0 {
		return 0, nil, c.forget(ctx)
	}
	if !again {
		if err := c.change(ctx, func(_ *store.Tx, st *State) error { st.Sent = upTo; return nil }); err != nil {
			return 0, nil, err
		}
	}
	var a replica.PushAnswer
	if err := c.ask(ctx, "replica_push", req, &a); err != nil {
		if refused(err) {
			err = errors.Join(err, c.change(ctx, func(_ *store.Tx, st *State) error { st.Sent = 0; return nil }))
		}
		return 0, nil, fmt.Errorf("cannot send %d changes to the server: %w", len(req.Changes), err)
	}
	if err := c.change(ctx, func(tx *store.Tx, st *State) error { return settle(tx, st, a, upTo) }); err != nil {
		return 0, nil, err
	}
	for _, m := range a.Results {
		if note := noteOf(m); note != "" {
			notes = append(notes, note)
			c.log.Info("the server decided", "class", m.Class, "object", m.Key, "decision", note)
		}
	}
	if again {
		more, further, err := c.Push(ctx)
		return len(req.Changes) + more, append(notes, further...), err
	}
	return len(req.Changes), notes, nil
}

// refused tells whether the server answered that it did nothing.
func refused(err error) bool {
	switch fleet.CodeOf(err) {
	case fleet.Invalid, fleet.Denied, fleet.TooLarge, fleet.NotFound, fleet.NotHere, fleet.Unauthenticated:
		return true
	}
	return false
}

// settle takes the answer to a push over.
func settle(tx *store.Tx, st *State, a replica.PushAnswer, upTo int64) error {
	again, err := unsent(tx, upTo)
	if err != nil {
		return err
	}
	whole, err := replica.Settle(tx, a, again)
	if err != nil {
		return err
	}
	if !whole || a.Forked {
		// If such an object is changed back before it is sent, only a full pull
		// still brings the server's row.
		st.Epoch, st.Revision, st.Tag = "", 0, ""
	}
	merged, err := json.Marshal(a.Position)
	if err != nil {
		return err
	}
	st.Merged = string(merged)
	st.Mark, st.Sent, st.Pushed = upTo, 0, tx.Stamp()
	return tx.Trim(upTo)
}

// change changes the state together with what fn does. An answer that came is
// taken over even if nobody waits for it any more.
func (c *Cache) change(ctx context.Context, fn func(*store.Tx, *State) error) error {
	return c.store.Update(context.WithoutCancel(ctx), fromServer, func(tx *store.Tx) error {
		st, _, err := Load(tx)
		if err != nil {
			return err
		}
		if err := fn(tx, &st); err != nil {
			return err
		}
		return tx.Put(States, States.Encode(st))
	})
}

// forget trims the tracker of what the server knows anyhow: else the rows of
// every pull would stay in it until something happens here, and be read each
// time that somebody asks what is unsent.
func (c *Cache) forget(ctx context.Context) error {
	known := func(tx *store.Tx, st State) (upTo int64, err error) {
		pos, err := tx.Position()
		if err != nil || pos.Revision <= st.Mark || st.Sent > st.Mark {
			return 0, err
		}
		tracked, err := tx.Since(st.Mark)
		if err != nil || len(tracked) > 0 {
			return 0, err
		}
		return pos.Revision, nil
	}
	var upTo int64
	err := c.store.View(ctx, func(tx *store.Tx) error {
		st, _, err := Load(tx)
		if err == nil {
			upTo, err = known(tx, st)
		}
		return err
	})
	if err != nil || upTo == 0 {
		return err
	}
	return c.change(ctx, func(tx *store.Tx, st *State) error {
		upTo, err := known(tx, *st)
		if err != nil || upTo == 0 {
			return err
		}
		st.Mark = upTo
		return tx.Trim(upTo)
	})
}

// noteOf is worth reading where the client's change did not simply count.
func noteOf(m replica.Merged) string {
	if m.Op == merge.Keep {
		return fmt.Sprintf("%s %s: %s", m.Class, m.Key, m.Reason)
	}
	for _, col := range m.Columns {
		if col.Winner == merge.Server {
			return fmt.Sprintf("%s %s: %s", m.Class, m.Key, col.Reason)
		}
	}
	return ""
}

// unsent tells which objects were changed here after a revision.
func unsent(tx *store.Tx, after int64) (func(class, key string) bool, error) {
	tracked, err := tx.Since(after)
	if err != nil {
		return nil, err
	}
	type object struct{ class, key string }
	set := make(map[object]bool, len(tracked))
	for _, t := range tracked {
		set[object{t.Class.Name, t.Key}] = true
	}
	return func(class, key string) bool { return set[object{class, key}] }, nil
}

// Pull fetches what changed on the server, in the background or for actions that
// are processed right behind it. It says how many objects came.
func (c *Cache) Pull(ctx context.Context, background bool) (objects int, full bool, err error) {
	var req replica.PullRequest
	err = c.store.View(ctx, func(tx *store.Tx) error {
		st, scope, err := Load(tx)
		req = replica.PullRequest{Position: store.Position{Epoch: st.Epoch, Revision: st.Revision, Tag: st.Tag}, Scope: scope, Background: background}
		if err == nil {
			req.Merged, err = st.merged()
		}
		return err
	})
	if err != nil {
		return 0, false, err
	}
	var a replica.PullAnswer
	if err := c.ask(ctx, "replica_pull", req, &a); err != nil {
		return 0, false, fmt.Errorf("cannot fetch the configuration: %w", err)
	}
	for _, rows := range a.Rows {
		objects += len(rows)
	}
	err = c.change(ctx, func(tx *store.Tx, st *State) error {
		keep, err := unsent(tx, st.Mark)
		if err != nil {
			return err
		}
		whole, err := replica.Apply(tx, a, keep)
		if err != nil {
			return err
		}
		next := req.Next(a, whole)
		st.Epoch, st.Revision, st.Tag = next.Position.Epoch, next.Position.Revision, next.Position.Tag
		st.Pulled = tx.Stamp()
		if whole || a.Full {
			st.Merged = "" // the new position has the push behind it, or there is another history
		}
		scope, err := json.Marshal(next.Scope)
		st.Scope = string(scope)
		return err
	})
	if err == nil {
		err = c.forget(ctx)
	}
	return objects, a.Full, err
}

// ask calls a method whose answer is a struct.
func (c *Cache) ask(ctx context.Context, method string, request, answer any) error {
	arg, err := methods.Plain(request, nil)
	if err != nil {
		return err
	}
	v, err := c.remote.Call(ctx, methods.Actor{}, method, methods.Pos(c.client, arg))
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // a row's numbers are whole, and wider than a float64
	return dec.Decode(answer)
}
