package trust_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/agefile"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/trust"
)

const (
	depotID = "depot.example.org"
	phrase  = "correct horse battery"
)

var admin = methods.Actor{Role: methods.Administrator, ID: "anna"}

// server is one of those on a database, as far as content trust goes.
type server struct {
	*trust.Trust
	store   *store.Store
	methods methods.Backend
	now     *atomic.Int64 // seconds
}

// Call makes the server one that an administrator's folder publishes to.
func (s *server) Call(ctx context.Context, method string, args ...any) (any, error) {
	return s.methods.Call(ctx, admin, method, methods.Pos(args...))
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func openSQLite(t testing.TB, path string) *sqldb.DB {
	t.Helper()
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openPostgres(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newServer(t testing.TB, db *sqldb.DB, key *cluster.Key, policies map[string]enrol.Policy) *server {
	t.Helper()
	s := &server{now: &atomic.Int64{}}
	s.now.Store(start.Unix())
	clock := func() time.Time { return time.Unix(s.now.Load(), 0) }
	var err error
	if s.store, err = store.Open(t.Context(), db, clock, append(append(catalog.Classes(), trust.Classes()...), cluster.Secrets)...); err != nil {
		t.Fatal(err)
	}
	s.Trust, err = trust.New(t.Context(), trust.Config{Store: s.store, Secrets: key, Log: slog.New(slog.DiscardHandler), Now: clock,
		Policies: func(*store.Tx) (map[string]enrol.Policy, error) { return policies, nil }})
	if err != nil {
		t.Fatal(err)
	}
	s.methods = catalog.New(s.store, methods.Ports{Trust: s.Trust})
	return s
}

// alone is a server on its own SQLite database.
func alone(t testing.TB) *server {
	t.Helper()
	return newServer(t, openSQLite(t, filepath.Join(t.TempDir(), "fleet.db")), cluster.NewKey(), nil)
}

// ring opens and makes keys without the work that a passphrase is worth.
func ring() *offline.Ring {
	return &offline.Ring{Keeper: agefile.Keeper{Work: 4}, Ask: func(string) (string, error) { return phrase, nil }, New: func() (string, error) { return phrase, nil }}
}

// folder is an administrator's folder that belongs to a server.
func folder(t testing.TB, s *server) *offline.Dir {
	t.Helper()
	there, err := offline.Ask(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "trust")
	plan := offline.Plan{RootKeys: 3, RootThreshold: 2, TargetsKeys: 1, TargetsThreshold: 1, Online: there.Online}
	if err := offline.Init(path, plan, ring(), start); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

func open(t testing.TB, path string) *offline.Dir {
	t.Helper()
	d, err := offline.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func sign(t testing.TB, d *offline.Dir) {
	t.Helper()
	if _, err := d.Sign(ring(), start); err != nil {
		t.Fatal(err)
	}
}

func publish(t testing.TB, d *offline.Dir, s *server) offline.Published {
	t.Helper()
	p, err := d.Publish(t.Context(), s)
	if err != nil {
		t.Fatal(err, fleet.HintOf(err))
	}
	return p
}

// install puts the row of a tree as a depot's commit does.
func (s *server) install(t testing.TB, tree depots.Tree) {
	t.Helper()
	err := s.store.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		if err := tx.Put(depots.Trees, depots.Trees.Encode(tree)); err != nil {
			return err
		}
		return s.Follow(tx)
	})
	if err == nil {
		err = s.Refresh(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

type privateKey = ed25519.PrivateKey

// keyOf is one that nothing names.
func keyOf(t testing.TB) privateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func clusterKey(testing.TB) *cluster.Key { return cluster.NewKey() }

func mapsEqual[M ~map[string]int64](a, b M) bool { return maps.Equal(a, b) }

// copyDatabase copies a database that nobody writes to.
func copyDatabase(t testing.TB, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(from + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// rotationOnline replaces the server's keys.
func rotationOnline(t testing.TB, s *server) offline.Rotation {
	t.Helper()
	return offline.Rotation{Online: newKeys(t, s)}
}
