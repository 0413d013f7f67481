package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
)

// A fleet of before certificates gets its first ones; then the server is restored
// from a backup that has none. The hosts show what they have, and go on.
func TestRestored_FirstCertificates(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	a, err := ca.Open(t.TempDir(), "server.example.org", clock)
	if err != nil {
		t.Fatal(err)
	}
	rows := func(host string, at time.Time) (*store.Store, *identity.Identities) {
		db, err := sqlite.Open(filepath.Join(t.TempDir(), "fernwerk.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		st, err := store.Open(t.Context(), db, clock, append(ca.Classes(), identity.Classes()...)...)
		if err != nil {
			t.Fatal(err)
		}
		err = st.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
			return tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": host, "created": at.UTC().Format(time.DateTime)})
		})
		if err != nil {
			t.Fatal(err)
		}
		return st, identity.New(st, a, clock)
	}
	const host, other = "pc1.example.org", "pc2.example.org"
	made := now.Add(-time.Hour) // of the backup
	lost, former := rows(host, made.Add(-24*time.Hour))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyID, err := enrol.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var row identity.Row
	err = lost.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) (err error) {
		row, err = former.Renew(tx, key.Public(), keyID, host, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var shown []*x509.Certificate
	for rest := []byte(row.Chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, cert)
	}
	for name, c := range map[string]struct {
		host    string
		created time.Time
		good    bool
	}{
		"the host of the backup":             {host, made.Add(-24 * time.Hour), true},
		"another host of its name, made now": {host, now, false},
		"no such host":                       {other, made.Add(-24 * time.Hour), false},
	} {
		restored, identities := rows(c.host, c.created)
		if _, err := identities.Verify(t.Context(), shown, false); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("%s, nothing was restored: %v", name, err)
		}
		if err := identity.Restored(t.Context(), restored, made); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			h, err := identities.Verify(t.Context(), shown, false)
			if good := err == nil && h.HostID == host; good != c.good {
				t.Errorf("%s: %+v, %v", name, h, err)
			}
		}
	}
}
