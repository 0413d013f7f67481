package postgres_test

import (
	"context"
	"net"
	"testing"

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
