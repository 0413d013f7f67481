package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
)

// Between looking at a certificate and renewing it the host may join again, or be
// deleted: what was good a moment ago gets nothing any more.
func TestRenew_HeldNoMore(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	now := time.Now()
	clock := func() time.Time { return now }
	st, err := store.Open(t.Context(), db, clock, identity.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	i := identity.New(st, &authority{}, clock)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const host, fresh = "pc1.example.org", "pc2.example.org"
	do := func(fn func(tx *store.Tx) error) error {
		return st.Update(t.Context(), store.Origin{Actor: "test"}, fn)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	join := func(keyID string) {
		t.Helper()
		must(do(func(tx *store.Tx) error {
			_, err := i.Begin(tx, key.Public(), identity.Row{HostID: host, KeyID: keyID})
			return err
		}))
	}
	renew := func(host, keyID, held string) error {
		now = now.Add(time.Hour)
		return do(func(tx *store.Tx) error { _, err := i.Renew(tx, key.Public(), keyID, host, held); return err })
	}
	must(do(func(tx *store.Tx) error { return tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host}) }))
	join("a")
	must(renew(host, "b", "a"))
	must(renew(host, "c", "a")) // the answer with b was lost
	join("d")                   // another machine is the host now
	if err := renew(host, "e", "c"); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("the key of before it joined again: %v", err)
	}
	must(renew(host, "f", "d"))
	must(do(func(tx *store.Tx) error { return tx.Remove(fleet.Hosts, fleet.Row{"id": host}) }))
	if err := renew(host, "g", "f"); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("a host that was deleted: %v", err)
	}
	if err := renew(host, "h", ""); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("a host that was deleted, by its host key: %v", err)
	}
	must(do(func(tx *store.Tx) error {
		return tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": fresh})
	}))
	must(renew(fresh, "i", "")) // its first certificate
	must(do(func(tx *store.Tx) error {
		if row, err := identity.Get(tx, host); err != nil || row.HostID != "" {
			t.Errorf("rows of a host that is gone: %+v, %v", row, err)
		}
		return nil
	}))
}

// A host that renews without a pause fills the database with certificates, and
// keeps everybody else from writing.
func TestRenew_TooOften(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	now := time.Now()
	clock := func() time.Time { return now }
	st, err := store.Open(t.Context(), db, clock, identity.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	i := identity.New(st, &authority{}, clock)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const host = "pc1.example.org"
	err = st.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		if err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host}); err != nil {
			return err
		}
		_, err := i.Begin(tx, key.Public(), identity.Row{HostID: host, KeyID: "a"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	renew := func(keyID string) error {
		_, err := i.RenewBy(t.Context(), key.Public(), keyID, identity.Holder{HostID: host, KeyID: "a"}, store.Origin{Actor: "test"}, nil)
		return err
	}
	for _, keyID := range []string{"b", "b"} { // the answer was lost
		if err := renew(keyID); err != nil {
			t.Fatal(err)
		}
	}
	if err := renew("c"); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("another one at once: %v", err)
	}
	now = now.Add(time.Minute)
	if err := renew("c"); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}
