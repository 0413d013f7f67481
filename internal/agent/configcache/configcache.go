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
	"context"
	"encoding/json"
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
	Scope    string `col:"scope"` // JSON of replica.Scope
	Mark     int64  `col:"mark"`  // own revision up to which the server knows all
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

var fromServer = store.Origin{Source: store.Replica, Actor: "config server"}

// Push sends what changed here since the last push. It says what the server
// decided, one sentence an object that did not simply arrive.
func (c *Cache) Push(ctx context.Context) (sent int, notes []string, err error) {
	var req replica.PushRequest
	var upTo int64
	err = c.store.View(ctx, func(tx *store.Tx) error {
		st, scope, err := Load(tx)
		if err != nil {
			return err
		}
		pos, err := tx.Position()
		if err != nil {
			return err
		}
		upTo = pos.Revision
		req, err = replica.Collect(tx, scope.Depot, st.Mark)
		return err
	})
	if err != nil || len(req.Changes) == 0 {
		return 0, nil, err
	}
	var a replica.PushAnswer
	if err := c.ask(ctx, "replica_push", req, &a); err != nil {
		return 0, nil, fmt.Errorf("cannot send %d changes to the server: %w", len(req.Changes), err)
	}
	err = c.store.Update(context.WithoutCancel(ctx), fromServer, func(tx *store.Tx) error {
		again, err := unsent(tx, upTo)
		if err != nil {
			return err
		}
		if err := replica.Settle(tx, a, again); err != nil {
			return err
		}
		st, _, err := Load(tx)
		if err != nil {
			return err
		}
		st.Mark, st.Pushed = upTo, tx.Stamp()
		if err := tx.Put(States, States.Encode(st)); err != nil {
			return err
		}
		return tx.Trim(upTo)
	})
	for _, m := range a.Results {
		if note := noteOf(m); note != "" {
			notes = append(notes, note)
			c.log.Info("the server decided", "class", m.Class, "object", m.Key, "decision", note)
		}
	}
	return len(req.Changes), notes, err
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

// Pull fetches what changed on the server. It says how many objects came.
func (c *Cache) Pull(ctx context.Context) (objects int, full bool, err error) {
	var req replica.PullRequest
	err = c.store.View(ctx, func(tx *store.Tx) error {
		st, scope, err := Load(tx)
		req = replica.PullRequest{Position: store.Position{Epoch: st.Epoch, Revision: st.Revision, Tag: st.Tag}, Scope: scope}
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
	scope, err := json.Marshal(a.Scope)
	if err != nil {
		return 0, false, err
	}
	err = c.store.Update(context.WithoutCancel(ctx), fromServer, func(tx *store.Tx) error {
		st, _, err := Load(tx)
		if err != nil {
			return err
		}
		keep, err := unsent(tx, st.Mark)
		if err != nil {
			return err
		}
		if err := replica.Apply(tx, a, keep); err != nil {
			return err
		}
		st.Epoch, st.Revision, st.Tag = a.Position.Epoch, a.Position.Revision, a.Position.Tag
		st.Scope, st.Pulled = string(scope), tx.Stamp()
		return tx.Put(States, States.Encode(st))
	})
	return objects, a.Full, err
}

// ask calls a method whose answer is a struct.
func (c *Cache) ask(ctx context.Context, method string, request, answer any) error {
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	var arg map[string]any
	if err := json.Unmarshal(data, &arg); err != nil {
		return err
	}
	v, err := c.remote.Call(ctx, methods.Actor{}, method, methods.Pos(c.client, arg))
	if err != nil {
		return err
	}
	if data, err = json.Marshal(v); err == nil {
		err = json.Unmarshal(data, answer)
	}
	return err
}
