package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/contact"
)

// A server is restored from a backup of before a revocation, and has worked for
// weeks when the first host that knows better is in contact: its own numbers are
// beyond the host's by then. The revocation counts again all the same.
func TestRevocations_RestoredServer(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	a, err := ca.Open(t.TempDir(), "server.example.org", clock)
	if err != nil {
		t.Fatal(err)
	}
	rows := func() *store.Store {
		db, err := sqlite.Open(filepath.Join(t.TempDir(), "fernwerk.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		st, err := store.Open(t.Context(), db, clock, append(ca.Classes(), contact.Rows)...)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	update := func(st *store.Store, fn func(*store.Tx) error) {
		t.Helper()
		if err := st.Update(t.Context(), store.Origin{Actor: "test"}, fn); err != nil {
			t.Fatal(err)
		}
	}
	newest := func(st *store.Store) (der []byte, number int64) {
		t.Helper()
		update(st, func(tx *store.Tx) (err error) { der, number, err = a.CRL(tx); return err })
		return der, number
	}
	lost, restored := rows(), rows()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var stolen enrol.Certificate
	update(lost, func(tx *store.Tx) (err error) {
		if stolen, err = a.Issue(tx, key.Public(), enrol.Grant{Purpose: enrol.Host, HostID: "stolen.example.org"}); err == nil {
			_, err = a.Revoke(tx, "stolen.example.org", "stolen")
		}
		return err
	})
	der, held := newest(lost)

	keeper := &ca.Keeper{Authority: a, Store: restored}
	for number := int64(0); number <= held; _, number = newest(restored) {
		if err := keeper.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(25 * time.Hour)
	}
	contacts := contact.New(contact.Config{Store: restored, Roots: a.Roots, CRL: a.CRL, Known: a.Signed, Take: a.TakeCRL,
		Due: func(*store.Tx, string, string) (bool, error) { return false, nil }})
	mark := rand.Text()
	say := func(c enrol.Contact) enrol.Answer {
		t.Helper()
		c.Next, c.Policy = mark, "plain-opsi"
		out, err := contacts.Contact(t.Context(), "pc1.example.org", c, store.Origin{Actor: "host pc1.example.org"})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := say(enrol.Contact{CRL: held})
	if !slices.Contains(out.Send, "crl") || len(out.CRL) != 0 {
		t.Fatalf("the host is told to forget what it knows: asked for %q, sent %d bytes", out.Send, len(out.CRL))
	}
	if out = say(enrol.Contact{CRL: held, Newer: map[string][]byte{"crl": der}}); len(out.CRL) == 0 || len(out.Send) != 0 {
		t.Errorf("then: asked for %q, sent %d bytes", out.Send, len(out.CRL))
	}
	list, err := enrol.ReadCRL(out.CRL, a.Roots(), stolen.Chain, now)
	if err != nil || !list.Revoked[stolen.Serial] || list.Number <= held {
		t.Errorf("%+v, %v", list, err)
	}
	update(restored, func(tx *store.Tx) error {
		if err := a.Good(tx, stolen.Serial); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("it is good: %v", err)
		}
		return nil
	})
	if out := say(enrol.Contact{CRL: list.Number}); len(out.CRL) != 0 || len(out.Send) != 0 {
		t.Errorf("at last: asked for %q, sent %d bytes", out.Send, len(out.CRL))
	}
}
