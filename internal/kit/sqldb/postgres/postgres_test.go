package postgres_test

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/test/require"
)

func TestOpen(t *testing.T) {
	db, err := postgres.Open(t.Context(), require.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var one int
	if err := db.Read.QueryRow(db.Dialect.Rebind("SELECT CAST(? AS BIGINT)"), 1).Scan(&one); err != nil || one != 1 || db.Dialect != sqldb.PostgreSQL {
		t.Errorf("%d, %v on %s", one, err, db.Dialect)
	}
}

// A program that stands still in the middle of a transaction holds up the others
// for a while only.
func TestOpen_LimitsIdleTransactions(t *testing.T) {
	dsn := require.Postgres(t)
	db, err := postgres.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var limit string
	if err := db.Read.QueryRow("SHOW idle_in_transaction_session_timeout").Scan(&limit); err != nil || limit != "1min" {
		t.Errorf("the limit is %q, %v", limit, err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("idle_in_transaction_session_timeout", "200ms")
	u.RawQuery = q.Encode()
	asleep, err := postgres.Open(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer asleep.Close()
	if _, err := db.Write.Exec("CREATE TABLE head AS SELECT 1 AS number"); err != nil {
		t.Fatal(err)
	}
	tx, err := asleep.Write.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("SELECT number FROM head FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := db.Write.ExecContext(ctx, "SELECT number FROM head FOR UPDATE"); err != nil {
		t.Errorf("the others wait: %v", err)
	}
	if _, err := tx.Exec("SELECT 1"); err == nil || !asleep.Passing(err) {
		t.Errorf("who slept: %v", err)
	}
}

func TestOpen_SaysWhatIsWrong(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	for _, dsn := range []string{"postgres://" + nobody + "/x?sslmode=disable", "not a url"} {
		if db, err := postgres.Open(t.Context(), dsn); err == nil {
			db.Close()
			t.Errorf("opens %q", dsn)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := postgres.Open(gone, "postgres://"+nobody+"/x"); err == nil {
		t.Error("opens although nobody waits")
	}
}
