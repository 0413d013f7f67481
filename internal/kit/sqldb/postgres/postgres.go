// Package postgres opens a PostgreSQL database (pgx) by its URL.
package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// Open connects to the database named by a postgres:// URL or a key=value
// connection string. It waits at most 10 seconds for the first answer.
func Open(ctx context.Context, dsn string) (*sqldb.DB, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("cannot open PostgreSQL: %w", err)
	}
	if cfg.ConnectTimeout == 0 { // else a host that is gone holds each request for minutes
		cfg.ConnectTimeout = connectWithin
	}
	pool := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(limitIdle(cfg)))
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(4)
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("cannot reach PostgreSQL: %w", err)
	}
	listen := func(ctx context.Context, channel string, ready func(), got func(string)) error {
		return listen(ctx, dsn, channel, ready, got)
	}
	return &sqldb.DB{Write: pool, Read: pool, Dialect: sqldb.PostgreSQL, Passing: passing, Listen: listen}, nil
}

// idleLimit is how long a transaction may do nothing, see [limitIdle].
const idleLimit = "60s"

// limitIdle has the database end a transaction whose program stands still in its
// middle, asleep or cut off: all writers of all servers take turns on one row, and
// would wait for it as long as that lasts. A connection string may say otherwise.
func limitIdle(cfg *pgx.ConnConfig) func(context.Context, *pgx.Conn) error {
	const name = "idle_in_transaction_session_timeout"
	return func(ctx context.Context, conn *pgx.Conn) error {
		if cfg.RuntimeParams[name] != "" {
			return nil
		}
		// Not as a parameter of the start: poolers refuse those that they do not know.
		_, err := conn.Exec(ctx, "SET "+name+" = '"+idleLimit+"'")
		return err
	}
}

// passing is [sqldb.DB.Passing].
func passing(err error) bool {
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Classes of SQLSTATE (PostgreSQL manual, appendix A): connection,
		// resources (disk, memory, connections), the server stops or starts;
		// read-only is what a standby answers while it is not promoted yet; the last
		// is our own limit.
		for _, class := range []string{"08", "53", "57P0", "58", "25006", "25P03"} {
			if strings.HasPrefix(said.Code, class) {
				return true
			}
		}
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || strings.HasSuffix(err.Error(), "conn closed")
}
