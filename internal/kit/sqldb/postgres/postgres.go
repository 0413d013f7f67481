// Package postgres opens a PostgreSQL database (pgx) by its URL.
package postgres

import (
	"context"
	"database/sql"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// Open connects to the database named by a postgres:// URL or a key=value
// connection string. It waits at most 10 seconds for the first answer.
func Open(ctx context.Context, dsn string) (*sqldb.DB, error) {
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, fmt.Errorf("cannot open PostgreSQL: %w", err)
	}
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
	return &sqldb.DB{Write: pool, Read: pool, Dialect: sqldb.PostgreSQL, Listen: listen}, nil
}
