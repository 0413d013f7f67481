// Package sqldb opens a SQL database for a program that writes through one
// connection and reads through many, and names the few places where SQLite
// and PostgreSQL speak differently.
//
// The engines are in sub-packages, so that a program links only the driver
// that it uses: the agent has no PostgreSQL in it.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
)

// DB is an open database.
type DB struct {
	Write   *sql.DB // one connection at a time on SQLite
	Read    *sql.DB
	Dialect Dialect

	// Passing tells whether an error is the database's state, which can pass
	// without anybody changing the program or the request: it is not reached, it
	// stops, its disk is full.
	Passing func(error) bool

	// Listen takes what other processes send on a channel of this database
	// (PostgreSQL's NOTIFY), over a connection of its own, until ctx ends or the
	// connection is lost; it does not come back by itself. ready is called once
	// it listens, got for each text. nil where a database has one process only.
	Listen func(ctx context.Context, channel string, ready func(), got func(text string)) error
}

// Close closes both ends.
func (db *DB) Close() error {
	if db.Read == db.Write {
		return db.Write.Close()
	}
	return errors.Join(db.Read.Close(), db.Write.Close())
}

// Dialect is what differs between the engines.
type Dialect int

// The engines.
const (
	SQLite Dialect = iota
	PostgreSQL
)

func (d Dialect) String() string {
	if d == PostgreSQL {
		return "PostgreSQL"
	}
	return "SQLite"
}

// Rebind turns "?" placeholders into the engine's own. Statements must not
// hold a literal "?".
func (d Dialect) Rebind(query string) string {
	if d == SQLite {
		return query
	}
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// GlobOp is the operator, with its right-hand placeholder, for a pattern made
// by [Dialect.Glob]. Both engines then compare by bytes: SQLite's LIKE would
// ignore the case of ASCII letters.
func (d Dialect) GlobOp() string {
	if d == PostgreSQL {
		return `LIKE ? ESCAPE '\'`
	}
	return "GLOB ?"
}

// Glob translates a pattern in which only "*" is special.
func (d Dialect) Glob(pattern string) string {
	if d == PostgreSQL {
		return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(pattern)
	}
	return strings.NewReplacer(`[`, `[[]`, `?`, `[?]`).Replace(pattern)
}

// ByBytes is the clause behind an ORDER BY column that sorts text by bytes on
// every locale.
func (d Dialect) ByBytes() string {
	if d == PostgreSQL {
		return ` COLLATE "C"`
	}
	return ""
}
