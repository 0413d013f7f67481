package cluster

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/test/require"
)

func server(t *testing.T, url string) *store.Store {
	t.Helper()
	db, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, time.Now, Secrets)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func copyKey(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(from, KeyFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, KeyFile), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCluster(t *testing.T) {
	url := require.Postgres(t)
	s := server(t, url)
	first, second := t.TempDir(), t.TempDir()
	a, err := Open(t.Context(), first, s)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(first, KeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if got, err := a.Agree(t.Context(), "ca", []byte("the first one's")); err != nil || string(got) != "the first one's" {
		t.Fatalf("%q, %v", got, err)
	}

	_, err = Open(t.Context(), second, server(t, url))
	if fleet.CodeOf(err) != fleet.Denied || !strings.Contains(fleet.HintOf(err), "copy cluster.key") {
		t.Errorf("without the key: %v; %s", err, fleet.HintOf(err))
	}
	if _, err := os.Stat(filepath.Join(second, KeyFile)); err == nil {
		t.Error("it made a key of its own")
	}
	if err := NewKey().Write(filepath.Join(second, KeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(t.Context(), second, s); fleet.CodeOf(err) != fleet.Denied || fleet.HintOf(err) == "" {
		t.Errorf("with another key: %v", err)
	}
	for _, broken := range []string{"", "nonsense\n", "c2hvcnQ=\n", strings.Repeat("A", 10_000)} {
		if err := os.WriteFile(filepath.Join(second, KeyFile), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err = Open(t.Context(), second, s); err == nil {
			t.Errorf("opens with the key %.20q", broken)
		}
	}
	copyKey(t, first, second)
	b, err := Open(t.Context(), second, server(t, url))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Agree(t.Context(), "ca", []byte("the second one's")); err != nil || string(got) != "the first one's" {
		t.Errorf("%q, %v", got, err)
	}
	if a.Derive("sessions") != b.Derive("sessions") || a.Derive("sessions") == a.Derive("other") {
		t.Error("derived keys")
	}
	// The database alone gives nothing away, and a secret counts under its own
	// name only.
	err = s.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error {
		row, err := tx.Get(Secrets, fleet.Row{"name": "ca"})
		if err != nil {
			return err
		}
		if bytes.Contains([]byte(row.Str("sealed")), []byte("first")) {
			t.Error("it is readable")
		}
		return tx.Put(Secrets, fleet.Row{"name": "other", "sealed": row["sealed"]})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), "other"); err == nil {
		t.Errorf("a moved secret is %q", got)
	}
	if err := a.Replace(t.Context(), "ca", []byte("a new one")); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), "ca"); err != nil || string(got) != "a new one" {
		t.Errorf("%q, %v", got, err)
	}
	if err := b.Exchange(t.Context(), "ca", []byte("the first one's"), []byte("x")); fleet.CodeOf(err) != fleet.Conflict {
		t.Errorf("over one that is gone: %v", err)
	}
	if err := b.Exchange(t.Context(), "ca", []byte("a new one"), []byte("a newer one")); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Get(t.Context(), "ca"); err != nil || string(got) != "a newer one" {
		t.Errorf("%q, %v", got, err)
	}
}

// Several servers that begin on one empty database at once agree.
func TestAgree_AtOnce(t *testing.T) {
	url := require.Postgres(t)
	key := NewKey()
	const servers = 4
	got := make([]string, servers)
	var wg sync.WaitGroup
	for i := range servers {
		s, dir := server(t, url), t.TempDir()
		if err := key.Write(filepath.Join(dir, KeyFile)); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			c, err := Open(context.Background(), dir, s)
			if err != nil {
				t.Error(err)
				return
			}
			all, err := c.Agree(context.Background(), "ca", []byte{byte('a' + i)})
			if err != nil {
				t.Error(err)
			}
			got[i] = string(all)
		})
	}
	wg.Wait()
	for _, g := range got {
		if g != got[0] || g == "" {
			t.Errorf("they have %q", got)
		}
	}
}
