package store

import (
	"context"
	"database/sql"
	"sync"

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

const (
	// maxStatements is far more than the program has of its own; filters come in
	// any number of forms.
	maxStatements = 500
	// maxStatementArgs leaves out lists of values: each length is a form.
	maxStatementArgs = 32
)

// statements keeps what SQLite has parsed: that costs more than most statements
// themselves. PostgreSQL's driver does it by itself.
type statements struct {
	mu sync.RWMutex
	by map[statement]*sql.Stmt
}

type statement struct {
	db    *sql.DB
	query string
}

// own are the statements of one transaction: parsed ones by their text, nil for
// one that was wanted once.
type own map[statement]*sql.Stmt

// prepared returns a statement that need not be parsed any more, nil if this one
// is not kept, or not yet. Parsing for all connections takes a connection, and
// this one is busy: a transaction that wants a statement notes it for its end. If
// it comes back to it, it has it parsed for itself.
func (tx *Tx) prepared(query string, args int) *sql.Stmt {
	if tx.s.db.Dialect != sqldb.SQLite || args > maxStatementArgs {
		return nil
	}
	id := statement{tx.s.db.Read, query}
	if tx.write != nil {
		id.db = tx.s.db.Write
	}
	stmt, again := tx.own[id]
	if stmt != nil {
		return stmt
	}
	kept, full := tx.s.statements.find(id)
	switch {
	case kept != nil && tx.sql == nil:
		return kept
	case kept != nil:
		stmt = tx.sql.StmtContext(tx.ctx, kept)
	case full:
		return nil
	case again:
		stmt, _ = tx.sql.PrepareContext(tx.ctx, query) // who runs it unprepared learns what is wrong
	}
	if kept == nil || tx.write != nil { // most views have one statement, and no need of a map
		if tx.own == nil {
			tx.own = own{}
		}
		tx.own[id] = stmt
	}
	return stmt
}

func (c *statements) find(id statement) (kept *sql.Stmt, full bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.by[id], len(c.by) >= maxStatements
}

// keep parses what a transaction wanted, after it has ended.
func (c *statements) keep(ctx context.Context, wanted own) {
	for id := range wanted {
		if kept, full := c.find(id); kept != nil || full {
			continue
		}
		stmt, err := id.db.PrepareContext(ctx, id.query)
		if err != nil {
			return // it is parsed each time, then
		}
		c.mu.Lock()
		if c.by[id] != nil {
			stmt.Close()
		} else {
			c.by[id] = stmt
		}
		c.mu.Unlock()
	}
}
