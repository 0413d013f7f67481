package depot

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/depots"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/test/require"
)

// sharing makes servers that share one depot folder, on one PostgreSQL.
func sharing(t *testing.T) func(name string) *place {
	url, dir := require.Postgres(t), t.TempDir()
	return func(name string) *place {
		db, err := postgres.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		s, err := store.Open(t.Context(), db, time.Now, append(catalog.Classes(), lease.Class)...)
		if err != nil {
			t.Fatal(err)
		}
		d, err := New(Config{
			Dir: filepath.Join(dir, "depot"), Cache: filepath.Join(dir, "chunks-"+name), Log: slog.New(slog.DiscardHandler), Now: time.Now,
			Ledger: depots.Ledger{Backend: catalog.New(s, methods.Ports{}), DepotID: depotID}, Leases: lease.New(s, name),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 2)
		go func() { done <- s.Serve(ctx) }()
		go func() { done <- d.Serve(ctx) }()
		t.Cleanup(func() {
			stop()
			for range 2 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
		return &place{d, s, func() {}}
	}
}

// has waits until a server knows that a product has a digest, "" for none.
func (p *place) has(t *testing.T, digest string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for p.digest("editor") != digest {
		select {
		case <-late:
			t.Fatalf("it has %q, not %q", p.digest("editor"), digest)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// What one server installs, all serve; each may install.
func TestShared(t *testing.T) {
	server := sharing(t)
	a, b := server("a"), server("b")
	first := a.install(t, "1.0-1", nil)
	b.has(t, first.ManifestDigest)
	second := b.install(t, "2.0-1", nil)
	a.has(t, second.ManifestDigest)
	if second.Replaced != "1.0-1" {
		t.Errorf("it replaced %q", second.Replaced)
	}
	if _, err := a.Remove(t.Context(), tester, "editor", false); err != nil {
		t.Fatal(err)
	}
	b.has(t, "")
}

// A server that lost its turn halfway changes nothing any more; the other one
// puts in order what it began.
func TestShared_StaleWriterIsRefused(t *testing.T) {
	for _, step := range []string{"locked", "postinst", "indexed"} {
		t.Run(step, func(t *testing.T) {
			server := sharing(t)
			a, b := server("a"), server("b")
			first := a.install(t, "1.0-1", nil)
			b.has(t, first.ManifestDigest)
			var second *Report
			a.reached = func(at string) {
				if at != step {
					return
				}
				a.reached = func(string) {}
				// a stood still: its lease is over, b takes the turn and goes on.
				err := a.store.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error {
					row, err := tx.Get(lease.Class, fleet.Row{"name": "depot " + depotID})
					if err == nil {
						row["until"] = int64(1)
						err = tx.Put(lease.Class, row)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
				second = b.install(t, "3.0-1", nil)
			}
			_, err := a.try(t, "2.0-1", nil, Options{})
			if !errors.Is(err, lease.ErrLost) || fleet.CodeOf(err) != fleet.Conflict {
				t.Errorf("the stale writer: %v", err)
			}
			if second == nil {
				t.Fatal("the step was not reached")
			}
			a.has(t, second.ManifestDigest)
			b.has(t, second.ManifestDigest)
			third := a.install(t, "4.0-1", nil)
			b.has(t, third.ManifestDigest)
		})
	}
}
