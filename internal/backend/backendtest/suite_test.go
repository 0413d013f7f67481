package backendtest_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest"
	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/require"
)

func TestOverSQLite(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	backendtest.Run(t, service(t, db))
}

func TestOverPostgreSQL(t *testing.T) {
	db, err := postgres.Open(t.Context(), require.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	backendtest.Run(t, service(t, db))
}

func service(t *testing.T, db *sqldb.DB) *methods.Service {
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(context.Background(), db, time.Now, catalog.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	return catalog.New(s, methods.Ports{Info: map[string]any{"version": "test"}})
}
