package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// Limits of one group: nobody waits for more than this before the commit.
const (
	groupRequests = 256
	groupTime     = 50 * time.Millisecond
)

// Source says where a change comes from.
type Source string

// The sources.
const (
	Local   Source = "local"   // made here: the modification tracker holds it until it is sent
	Replica Source = "replica" // copied from the other side as it is there, stamps included
)

// Origin is who makes a change; it is kept with the revision.
type Origin struct {
	Source  Source // Local if empty
	Actor   string // "host pc1.example.org", "administrator admin", "agent"
	Address string
	Request string
}

// request is one Update waiting for its group.
type request struct {
	ctx    context.Context
	origin Origin
	fn     func(*Tx) error
	taken  atomic.Bool // by a group, or back by its caller
	done   chan struct{}
	pos    Position
	err    error
}

// Update runs fn in a transaction that may write, and returns when the change
// is durable. An error of fn undoes all that fn did and comes back as it is.
// If ctx ends before fn started, fn does not run; afterwards Update waits for
// the outcome, which is never in doubt.
//
// fn must not call Update or View, and must not wait for anything else: others
// wait for it.
func (s *Store) Update(ctx context.Context, origin Origin, fn func(*Tx) error) error {
	_, err := s.UpdateAt(ctx, origin, fn)
	return err
}

// UpdateAt is Update, and says at which position the change stands: the zero
// Position if it changed nothing that is journaled.
func (s *Store) UpdateAt(ctx context.Context, origin Origin, fn func(*Tx) error) (Position, error) {
	if origin.Source == "" {
		origin.Source = Local
	}
	r := &request{ctx: ctx, origin: origin, fn: fn, done: make(chan struct{})}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return Position{}, ctx.Err()
	}
	ended := ctx.Done()
	for {
		select {
		case <-r.done:
			return r.pos, r.err
		case s.lead <- struct{}{}:
			s.commitGroup()
			<-s.lead
		case <-ended: // perhaps behind a group whose database does not answer
			if r.taken.CompareAndSwap(false, true) {
				return Position{}, ctx.Err()
			}
			ended = nil
		}
	}
}

// commitGroup runs all waiting requests, up to the limits, in one transaction.
func (s *Store) commitGroup() {
	var group []*request
	var g *groupTx
	start := time.Now()
	for len(group) < groupRequests && time.Since(start) < groupTime {
		var r *request
		select {
		case r = <-s.queue:
		default:
		}
		if r == nil {
			break
		}
		if !r.taken.CompareAndSwap(false, true) {
			continue
		}
		if err := r.ctx.Err(); err != nil {
			r.err = err
			close(r.done)
			continue
		}
		if g == nil {
			var err error
			if g, err = s.begin(); err != nil {
				r.err = err
				close(r.done)
				continue
			}
		}
		g.run(r)
		group = append(group, r)
	}
	if g == nil {
		return
	}
	err := g.commit()
	if err == nil {
		s.commits.Add(1)
		s.updates.Add(int64(len(group)))
	}
	s.statements.keep(context.Background(), g.own)
	for _, r := range group {
		if r.err == nil && err != nil {
			r.err, r.pos = err, Position{}
		}
		close(r.done)
	}
}

// Stats says how many groups were committed since the start, of how many
// requests, and how many wait now.
func (s *Store) Stats() (commits, updates, waiting int64) {
	return s.commits.Load(), s.updates.Load(), int64(len(s.queue))
}

// groupTx is the transaction of one group.
type groupTx struct {
	s      *Store
	tx     *sql.Tx
	epoch  string
	number int64 // last revision used
	first  int64
	now    time.Time
	broken error // the transaction is lost; all of the group fail
	topics map[string]bool
	own    own
}

func (s *Store) begin() (*groupTx, error) {
	// The group's own context: no caller can end it.
	tx, err := s.db.Write.BeginTx(context.Background(), nil)
	if err != nil {
		return nil, s.failed("write to", err)
	}
	g := &groupTx{s: s, tx: tx, now: s.now().UTC(), topics: map[string]bool{}, own: own{}}
	query := `SELECT "epoch", "number" FROM "head" WHERE "id" = 1`
	if s.db.Dialect == sqldb.PostgreSQL {
		query += " FOR UPDATE" // one order of all revisions, also among servers
	}
	if err := tx.QueryRow(query).Scan(&g.epoch, &g.number); err != nil {
		tx.Rollback()
		return nil, s.failed("write to", err)
	}
	g.first = g.number
	return g, nil
}

// run executes one request behind a savepoint.
func (g *groupTx) run(r *request) {
	if g.broken != nil {
		r.err = g.broken
		return
	}
	tx := &Tx{ctx: context.Background(), caller: context.Background(), s: g.s, sql: g.tx, now: g.now, write: &writing{origin: r.origin, revision: g.number + 1}, own: g.own}
	if r.err = g.exec(tx, `SAVEPOINT request`); r.err != nil {
		return
	}
	r.err = call(r.fn, tx)
	if r.err == nil && tx.write.changes > 0 {
		r.err = tx.closeRevision()
	}
	if r.err == nil {
		// On PostgreSQL this fails after a failed statement, even if the
		// function did not mind; the savepoint then can still be rolled back.
		r.err = tx.exec(`RELEASE SAVEPOINT request`)
	}
	if r.err != nil {
		g.exec(tx, `ROLLBACK TO SAVEPOINT request`)
		g.exec(tx, `RELEASE SAVEPOINT request`)
		return
	}
	for _, topic := range tx.write.topics {
		g.topics[topic] = true
	}
	if tx.write.changes > 0 {
		g.topics[Revisions] = true
		g.number++
		r.pos = Position{Epoch: g.epoch, Revision: g.number, Tag: tx.write.tag}
	}
}

// call shields the group from a panic in one request.
func call(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(tx)
}

func (g *groupTx) exec(tx *Tx, stmt string) error {
	if err := tx.exec(stmt); err != nil && g.broken == nil {
		g.broken = err
	}
	return g.broken
}

func (g *groupTx) commit() error {
	if g.broken != nil {
		return errors.Join(g.broken, g.tx.Rollback())
	}
	if g.number != g.first {
		if _, err := g.tx.Exec(g.s.db.Dialect.Rebind(`UPDATE "head" SET "number" = ? WHERE "id" = 1`), g.number); err != nil {
			g.tx.Rollback()
			return g.s.failed("write to", err)
		}
	}
	if err := g.tell(); err != nil {
		g.tx.Rollback()
		return err
	}
	if err := g.tx.Commit(); err != nil {
		// Whatever it was, the caller may try again.
		return &fleet.Error{Code: fleet.Unavailable, Text: "cannot commit to the database", Err: err}
	}
	for topic := range g.topics {
		g.s.feed.wake(topic)
	}
	return nil
}
