package postgres_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/require/postgres"
)

func TestStartAndClose(t *testing.T) {
	if _, err := postgres.Bin(); err != nil {
		require.Skip(t, "PostgreSQL", err.Error())
	}
	s, err := postgres.Start()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), s.URL)
	if err != nil {
		t.Error(err)
	} else {
		conn.Close(t.Context())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := pgx.Connect(t.Context(), s.URL); err == nil {
		t.Error("the server still answers")
	}
}
