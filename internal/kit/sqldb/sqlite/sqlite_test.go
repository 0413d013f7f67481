package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

func open(t *testing.T, path string) *sqldb.DB {
	t.Helper()
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func ask[T any](t *testing.T, c interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, query string) (v T) {
	t.Helper()
	if err := c.QueryRowContext(t.Context(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// Pragmas are a connection's own: one that the pool opens later must have them
// as well, or a commit on it would not be durable.
func TestOpen_PragmasHoldOnEveryConnection(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a.db"))
	check := func(c *sql.Conn, queryOnly int) {
		t.Helper()
		if got := ask[string](t, c, "PRAGMA journal_mode"); got != "wal" {
			t.Errorf("journal_mode is %s", got)
		}
		for pragma, want := range map[string]int{
			"synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000, "trusted_schema": 0, "query_only": queryOnly,
		} {
			if got := ask[int](t, c, "PRAGMA "+pragma); got != want {
				t.Errorf("%s is %d, want %d", pragma, got, want)
			}
		}
	}
	for range 2 { // the second time on a fresh connection
		w, err := db.Write.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		check(w, 0)
		w.Close()
		db.Write.SetMaxIdleConns(0)
		db.Write.SetMaxIdleConns(1)
	}
	for range 4 { // all at once: four connections
		r, err := db.Read.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		check(r, 1)
		if _, err := r.ExecContext(t.Context(), `CREATE TABLE "no" ("a" TEXT)`); err == nil {
			t.Error("a reading connection writes")
		}
	}
	if got := db.Write.Stats().MaxOpenConnections; got != 1 {
		t.Errorf("%d connections may write", got)
	}
}

func TestOpen_OnlyItsOwnerReadsTheFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no file modes")
	}
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "a.db"))
	if _, err := db.Write.Exec(`CREATE TABLE "t" ("a" TEXT)`); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("%v, want the database, its log and its index", entries)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestOpen_OddPaths(t *testing.T) {
	names := []string{"with space.db", "100%.db", "a%20b.db", "hash#tag.db", "plus+and&amp;=.db", "käse;.db", "file:x.db"}
	if runtime.GOOS == "windows" {
		names = []string{"with space.db", "100%.db", "a%20b.db", "hash#tag.db", "plus+and&amp;=.db", "käse;.db"}
	} else {
		names = append(names, "what?.db", "a?mode=memory", `back\slash.db`, `"quoted".db`)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			db := open(t, path)
			if _, err := db.Write.Exec(`CREATE TABLE "t" ("a" TEXT)`); err != nil {
				t.Fatal(err)
			}
			if got := ask[int](t, db.Read, `SELECT COUNT(*) FROM "t"`); got != 0 {
				t.Errorf("reads %d rows of a new table", got)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 || entries[0].Name() != name {
				t.Fatalf("the folder holds %v, %v", entries, err)
			}
			if info, err := os.Stat(path); err != nil || info.Size() == 0 {
				t.Errorf("the file holds nothing: %v", err)
			}
		})
	}
}

func TestOpen_SaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.db")
	if err := os.WriteFile(junk, []byte("this is no database, it is a text of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{junk, dir, filepath.Join(dir, "missing", "a.db")} {
		if db, err := sqlite.Open(path); err == nil {
			db.Close()
			t.Errorf("opens %s", path)
		}
	}
}
