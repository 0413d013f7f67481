package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
)

// authority issues nothing that counts, and notes what it is to revoke.
type authority struct {
	identity.Authority
	revoked []string
	within  map[*store.Tx]int
}

func (a *authority) Issue(*store.Tx, crypto.PublicKey, enrol.Grant) (enrol.Certificate, error) {
	return enrol.Certificate{}, nil
}

func (a *authority) Revoke(tx *store.Tx, hostID, reason string) (int, error) {
	a.revoked = append(a.revoked, hostID+": "+reason)
	if a.within == nil {
		a.within = map[*store.Tx]int{}
	}
	a.within[tx]++
	return 1, nil
}

// The certificates of a host that was deleted stand on the list of revocations,
// also if a host of the same name joins before anybody looks.
func TestSweep(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, time.Now, identity.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{}
	i := identity.New(st, a, time.Now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	do := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := st.Update(t.Context(), store.Origin{Actor: "test"}, fn); err != nil {
			t.Fatal(err)
		}
	}
	join := func(host, keyID string) {
		t.Helper()
		do(func(tx *store.Tx) error {
			if err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host}); err != nil {
				return err
			}
			_, err := i.Begin(tx, key.Public(), identity.Row{HostID: host, KeyID: keyID})
			return err
		})
	}
	drop := func(host string) {
		t.Helper()
		do(func(tx *store.Tx) error { return tx.Remove(fleet.Hosts, fleet.Row{"id": host}) })
	}
	sweep := func() {
		t.Helper()
		if err := (identity.Sweeper{Identities: i, Log: slog.New(slog.DiscardHandler)}).Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	join("stays.example.org", "a")
	join("goes.example.org", "b")
	join("again.example.org", "c")
	drop("goes.example.org")
	drop("again.example.org")
	join("again.example.org", "d")
	for range 2 {
		sweep()
	}
	want := []string{"again.example.org: superseded", "goes.example.org: the host is gone"}
	if len(a.revoked) != 2 || a.revoked[0] != want[0] || a.revoked[1] != want[1] {
		t.Errorf("revoked %v, not %v", a.revoked, want)
	}
}

// A laboratory of machines is deleted: others write in between.
func TestSweep_Many(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, time.Now, identity.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{}
	i := identity.New(st, a, time.Now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const many = 90
	for _, fn := range []func(tx *store.Tx, id string) error{
		func(tx *store.Tx, id string) error {
			if err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": id}); err != nil {
				return err
			}
			_, err := i.Begin(tx, key.Public(), identity.Row{HostID: id, KeyID: id})
			return err
		},
		func(tx *store.Tx, id string) error { return tx.Remove(fleet.Hosts, fleet.Row{"id": id}) },
	} {
		err := st.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
			for n := range many {
				if err := fn(tx, fmt.Sprintf("pc%d.example.org", n)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := (identity.Sweeper{Identities: i, Log: slog.New(slog.DiscardHandler)}).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(a.revoked) != many {
		t.Errorf("%d of %d are revoked", len(a.revoked), many)
	}
	for _, n := range a.within {
		if n > 25 {
			t.Errorf("%d in one transaction", n)
		}
	}
}
