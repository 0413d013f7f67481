// Package sqlite opens a SQLite file (modernc.org/sqlite, pure Go) with
// write-ahead log and full durability.
package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"modernc.org/sqlite" // the driver

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// Open opens or makes the database file, readable by its owner only. The
// pragmas stand in the connection string because they are per connection; a
// pool opens new ones at will.
func Open(path string) (*sqldb.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open database %s: %w", path, err)
	}
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open database: %w", err)
	}
	f.Close()
	pragmas := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"cache_size(-4000)", "temp_store(memory)", "trusted_schema(0)",
	}}
	pragmas.Set("_txlock", "immediate")
	name := "file:" + (&url.URL{Path: abs}).EscapedPath() + "?" + pragmas.Encode()
	write, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("cannot open database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	pragmas.Del("_txlock")
	pragmas.Add("_pragma", "query_only(1)")
	read, err := sql.Open("sqlite", "file:"+(&url.URL{Path: abs}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		write.Close()
		return nil, fmt.Errorf("cannot open database %s: %w", path, err)
	}
	readers := max(4, runtime.NumCPU())
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers) // a new one costs more than what most are asked
	db := &sqldb.DB{Write: write, Read: read, Dialect: sqldb.SQLite, Passing: passing}
	if err := write.Ping(); err != nil {
		db.Close()
		return nil, fmt.Errorf("cannot open database %s: %w", path, err)
	}
	return db, nil
}

// SQLite's primary result codes (sqlite.org/rescode.html) of what can pass.
const (
	busy     = 5 // another program holds it for longer than busy_timeout
	ioerr    = 10
	full     = 13
	cantopen = 14
)

// passing is [sqldb.DB.Passing]: no room, no answer of the disk, held too long by
// another program.
func passing(err error) bool {
	said, ok := errors.AsType[*sqlite.Error](err)
	return ok && slices.Contains([]int{busy, ioerr, full, cantopen}, said.Code()&0xff)
}
