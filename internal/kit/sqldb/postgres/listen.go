package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	connectWithin = 10 * time.Second
	// silence is how long nothing may come before the connection is asked
	// whether it still is one: a database behind a dead router sends nothing.
	silence = 30 * time.Second
)

// listen is [sqldb.DB.Listen]. A connection of the pool would do, but be lent
// for ever.
func listen(ctx context.Context, dsn, channel string, ready func(), got func(string)) error {
	conn, err := connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("cannot listen to PostgreSQL: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return fmt.Errorf("cannot listen to PostgreSQL: %w", err)
	}
	ready()
	for {
		quiet, cancel := context.WithTimeout(ctx, silence)
		n, err := conn.WaitForNotification(quiet)
		cancel()
		switch {
		case err == nil:
			got(n.Payload)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) && !conn.IsClosed():
			asked, cancel := context.WithTimeout(ctx, connectWithin)
			err := conn.Ping(asked)
			cancel()
			if err != nil {
				return fmt.Errorf("cannot listen to PostgreSQL any more: %w", err)
			}
		default:
			return fmt.Errorf("cannot listen to PostgreSQL any more: %w", err)
		}
	}
}

func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	return pgx.Connect(ctx, dsn)
}
