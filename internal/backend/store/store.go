// Package store keeps the rows of the fleet in SQL, on SQLite and PostgreSQL
// alike.
//
// Tables come from the classes: one table a class, named after it, with the
// row's [fleet.Class.Key] as primary key and a column for each attribute. A
// program hands in further classes for its own bookkeeping, and gets tables,
// typed rows and one transaction over both.
//
// There is one write path. Every change of a fleet row is journaled in the
// same transaction, with what it was before and after, under the transaction's
// revision, which says who did it. That one record is the audit log, the
// change feed, and, on an agent, the seed's modification tracker: the snapshot
// is the working copy with the journal undone ([Tx.Since]).
//
// Writers are committed in groups: whoever comes first while nobody commits
// leads, and takes along all who wait. Each request has a savepoint of its
// own, so a failing one undoes only itself; the group runs under the store's
// own context, so a caller who gives up undoes nobody's work. Durability costs
// one fsync a group.
//
// Who waits for rows is woken by commits ([Store.Watch]), here and in the other
// processes on the same PostgreSQL.
//
// The package imports no driver and starts no goroutine.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// MaxChanges is how many journaled changes one Update may make. Larger work
// goes in pieces, so that nobody waits long behind it.
const MaxChanges = 50_000

// Store is an open database of rows.
type Store struct {
	db     *sqldb.DB
	tables map[string]*table
	order  []*table // owners before what they own
	now    func() time.Time
	queue  chan *request
	lead   chan struct{}
	feed   feed

	commits, updates atomic.Int64 // see Stats

	statements statements
}

// Open makes or extends the tables of the fleet's classes and of the program's
// own, and returns the store. It does not close db. now is the clock that
// stamps rows and revisions.
func Open(ctx context.Context, db *sqldb.DB, now func() time.Time, own ...*fleet.Class) (*Store, error) {
	s := &Store{
		db: db, now: now, tables: map[string]*table{},
		queue: make(chan *request, 1024), lead: make(chan struct{}, 1),
		feed:       feed{self: token(), watchers: map[*watcher]bool{}},
		statements: statements{by: map[statement]*sql.Stmt{}},
	}
	for _, c := range append(fleet.Classes(), own...) {
		t := newTable(c)
		s.tables[c.Name] = t
		s.order = append(s.order, t)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("cannot prepare the %s database: %w", db.Dialect, err)
	}
	return s, nil
}

// View runs fn over one unchanging state of the database.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if s.db.Dialect == sqldb.PostgreSQL {
		opts.Isolation = sql.LevelRepeatableRead
	}
	sqlTx, err := s.db.Read.BeginTx(ctx, opts)
	if err != nil {
		return s.failed("read", err)
	}
	tx := &Tx{ctx: ctx, caller: ctx, s: s, sql: sqlTx, now: s.now().UTC()}
	if s.db.Dialect == sqldb.SQLite {
		// Watching a context costs two goroutines a query; most are over sooner.
		// Between rows the end of ctx is looked at.
		tx.ctx = context.WithoutCancel(ctx)
	}
	defer func() {
		sqlTx.Rollback()
		s.statements.keep(ctx, tx.own)
	}()
	return fn(tx)
}

// Look is View for a function that asks for one thing: one statement sees one
// state of the database by itself, and a transaction around it costs as much.
// Asking twice panics.
func (s *Store) Look(ctx context.Context, fn func(*Tx) error) error {
	if s.db.Dialect == sqldb.SQLite {
		ctx = context.WithoutCancel(ctx) // as in View; it is one row, or a host's own
	}
	tx := &Tx{ctx: ctx, caller: ctx, s: s, now: s.now().UTC()}
	defer func() { s.statements.keep(ctx, tx.own) }()
	return fn(tx)
}

// failed makes an error of the database. One that can pass is Unavailable, and
// its text, which goes to clients, has no word of the database's address.
func (s *Store) failed(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || s.db.Passing == nil || !s.db.Passing(err) {
		return fmt.Errorf("cannot %s the database: %w", what, err)
	}
	return &fleet.Error{Code: fleet.Unavailable, Text: "cannot " + what + " the database now", Err: err}
}

// table is a class with its SQL text.
type table struct {
	class   *fleet.Class
	columns []string  // as stored, without "key"
	room    sync.Pool // of *cells
	typeAt  int       // where the type stands among them, -1 if there is none
	insert  string
	find    string      // every row, up to its condition
	owned   []ownership // what goes with a row of this class
}

type ownership struct {
	class string            // of the rows that are owned
	pairs map[string]string // their column -> the owner's
}

// columnType is what the database sees besides the class's own columns.
const (
	typeColumn  = "type"
	extraColumn = "extra" // JSON of an open class's further fields
)

// token is 64 random bits: enough to tell two histories apart.
func token() string { return rand.Text()[:13] }
