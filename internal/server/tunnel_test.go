package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/grid"
)

// A host that is revoked while it asks gets no certificate of a tunnel, which no
// list of revocations would name.
func TestTunnel_RevokedMeanwhile(t *testing.T) {
	a, err := ca.Open(t.TempDir(), "server.example.org", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, time.Now, append(ca.Classes(), identity.Classes()...)...)
	if err != nil {
		t.Fatal(err)
	}
	j := &joining{Identities: identity.New(st, a, time.Now), authority: a, store: st}
	request := func() (*ecdsa.PrivateKey, []byte, string) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		id, err := enrol.KeyID(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return key, enrol.EncodeRequest(der), id
	}
	const host = "pc1.example.org"
	do := func(fn func(tx *store.Tx) error) error {
		return st.Update(t.Context(), store.Origin{Actor: "test"}, fn)
	}
	key, _, id := request()
	err = do(func(tx *store.Tx) error {
		err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host})
		if err == nil {
			_, err = j.Begin(tx, key.Public(), identity.Row{HostID: host, KeyID: id})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	certify := func() error {
		return do(func(tx *store.Tx) error {
			_, csr, _ := request()
			_, err := (&grid.Grid{Config: grid.Config{Store: st, Authority: j.authority}}).Credentials().Certify(tx, csr, host, "lab")
			return err
		})
	}
	if err := certify(); err != nil {
		t.Fatal(err)
	}
	if err := do(func(tx *store.Tx) error { return j.Identities.Revoke(tx, host, "stolen") }); err != nil {
		t.Fatal(err)
	}
	if err := certify(); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("revoked: %v", err)
	}
	if err := do(func(tx *store.Tx) error { return tx.Remove(fleet.Hosts, fleet.Row{"id": host}) }); err != nil {
		t.Fatal(err)
	}
	if err := certify(); fleet.CodeOf(err) != fleet.Denied {
		t.Errorf("gone: %v", err)
	}
}

// counted counts the questions whether a certificate is good.
type counted struct {
	*ca.Authority
	asked int
}

func (c *counted) Good(tx *store.Tx, serial string) error {
	c.asked++
	return c.Authority.Good(tx, serial)
}

// A host that shows the list that everybody has makes nobody look at the whole
// fleet: it may do so with every contact.
func TestTakeList_NothingNew(t *testing.T) {
	a, err := ca.Open(t.TempDir(), "server.example.org", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, time.Now, append(ca.Classes(), identity.Classes()...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&ca.Keeper{Authority: a, Store: st}).Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := &counted{Authority: a}
	identities := identity.New(st, c, time.Now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := enrol.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	const host = "pc1.example.org"
	err = st.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		if err := tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host}); err != nil {
			return err
		}
		if _, err := identities.Begin(tx, key.Public(), identity.Row{HostID: host, KeyID: id}); err != nil {
			return err
		}
		der, _, err := a.CRL(tx)
		if err == nil {
			err = takeList(tx, a, identities, der)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.asked != 0 {
		t.Errorf("%d hosts were looked at", c.asked)
	}
}
