package store_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/require"
)

// engines are the databases that every rule of the store holds on. fresh makes
// an empty database and returns what opens it, as often as a test wants.
var engines = []struct {
	name  string
	fresh func(t testing.TB) func() (*sqldb.DB, error)
}{
	{"SQLite", func(t testing.TB) func() (*sqldb.DB, error) {
		path := filepath.Join(t.TempDir(), "fleet.db")
		return func() (*sqldb.DB, error) { return sqlite.Open(path) }
	}},
	{"PostgreSQL", func(t testing.TB) func() (*sqldb.DB, error) {
		url := require.Postgres(t)
		return func() (*sqldb.DB, error) { return postgres.Open(context.Background(), url) }
	}},
}

// database is one database of an engine.
type database struct {
	t    testing.TB
	open func() (*sqldb.DB, error)
}

// onEngines runs a test once on each engine, each time with an empty database.
func onEngines(t *testing.T, test func(t *testing.T, db database)) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) { test(t, database{t, e.fresh(t)}) })
	}
}

// conn opens the database; each call is a process of its own.
func (d database) conn() *sqldb.DB {
	d.t.Helper()
	db, err := d.open()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { db.Close() })
	return db
}

// store opens a store over the database.
func (d database) store(own ...*fleet.Class) *store.Store {
	d.t.Helper()
	return openStore(d.t, d.conn(), newClock(), own...)
}

func openStore(t testing.TB, db *sqldb.DB, c *clock, own ...*fleet.Class) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), db, c.now, own...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clock goes on by a second each time it is read. A store reads it once a
// transaction, so that it also counts those.
type clock struct{ reads atomic.Int64 }

func newClock() *clock { return &clock{} }

func (c *clock) now() time.Time {
	return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(c.reads.Add(1)) * time.Second)
}

var (
	here  = store.Origin{Actor: "test"}
	there = store.Origin{Actor: "server", Source: store.Replica}
)

func update(t testing.TB, s *store.Store, origin store.Origin, fn func(tx *store.Tx) error) store.Position {
	t.Helper()
	pos, err := s.UpdateAt(context.Background(), origin, fn)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func view(t testing.TB, s *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// put writes one group with a description: the smallest change there is.
func put(t testing.TB, s *store.Store, origin store.Origin, id, description string) store.Position {
	t.Helper()
	return update(t, s, origin, func(tx *store.Tx) error { return putGroup(tx, id, description) })
}

func putGroup(tx *store.Tx, id, description string) error {
	return tx.Put(fleet.Groups, group(id, description))
}

func group(id, description string) fleet.Row {
	return fleet.Row{"type": fleet.HostGroup, "id": id, "description": description}
}

// groups are the descriptions of all groups by id.
func groups(t testing.TB, s *store.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	view(t, s, func(tx *store.Tx) error {
		rows, err := tx.Select(fleet.Groups, nil)
		for _, r := range rows {
			out[r.Str("id")] = r.Str("description")
		}
		return err
	})
	return out
}

func position(t testing.TB, s *store.Store) (pos store.Position) {
	t.Helper()
	view(t, s, func(tx *store.Tx) (err error) { pos, err = tx.Position(); return err })
	return pos
}

func knows(t testing.TB, s *store.Store, pos store.Position) (known bool) {
	t.Helper()
	view(t, s, func(tx *store.Tx) (err error) { known, err = tx.Knows(pos); return err })
	return known
}
