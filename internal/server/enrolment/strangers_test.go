package enrolment

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

const someHost = "pc1.example.org"

func open(t *testing.T, cfg Config) (*store.Store, *Enrolment) {
	t.Helper()
	return openAt(t, cfg, time.Now)
}

func openAt(t *testing.T, cfg Config, now func() time.Time) (*store.Store, *Enrolment) {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, now, Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		return tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": someHost, "oneTimePassword": "once"})
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Store, cfg.Log = st, slog.New(slog.DiscardHandler)
	return st, New(cfg)
}

func request(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(enrol.EncodeRequest(der))
}

// Who has nothing to show is refused while somebody else writes: strangers do not
// queue up before the fleet. A name that is no host's is nothing to guess at, and
// pushes nobody out of the memory of failed tries.
func TestJoin_StrangersWriteNothing(t *testing.T) {
	charged := map[string]int{}
	st, e := open(t, Config{FirstBoot: Off, Charge: func(id string) error { charged[id]++; return nil }, Forgive: func(id string) { charged[id]-- }})
	token, err := enrol.Token{ID: "abcdefghijkl", Secret: "AAAAAAAAAAAAAAAAAAAAAAAAAAA", Addresses: []string{"server.example.org:4447"},
		CA: fmt.Sprintf("%064x", 1), Policy: enrol.PlainOpsi, Expires: time.Now().Add(time.Hour).Unix()}.Text()
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), store.Origin{Actor: "test"}, func(*store.Tx) error {
		for name, req := range map[string]enrol.JoinRequest{
			"nothing":      {},
			"no token":     {Token: token},
			"no host":      {HostID: "pc2.example.org", OneTimePassword: "once"},
			"not its word": {HostID: someHost, OneTimePassword: "twice"},
		} {
			req.CSR = request(t)
			within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if _, err := e.Join(within, req, store.Origin{Address: "192.0.2.1"}); fleet.CodeOf(err) != fleet.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(charged) != 1 || charged[someHost] != 1 {
		t.Errorf("charged: %v", charged)
	}
}

// One stranger does not take the places of all who wait for an administrator.
func TestJoin_RoomForOthers(t *testing.T) {
	_, e := open(t, Config{FirstBoot: Approve})
	ask := func(address string) error {
		_, err := e.Join(t.Context(), enrol.JoinRequest{CSR: request(t)}, store.Origin{Address: address})
		return err
	}
	for i := range mostOfAddress {
		if err := ask(fmt.Sprintf("2001:db8::%x", i)); err != nil { // of one network
			t.Fatal(i, err)
		}
	}
	if err := ask("2001:db8::ffff"); fleet.CodeOf(err) != fleet.Unavailable {
		t.Errorf("one too many: %v", err)
	}
	for _, other := range []string{"2001:db8:0:1::1", "192.0.2.1"} {
		if err := ask(other); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
}

// A machine that goes on asking stays on the administrator's list, however long he
// is away. One that does not ask any more leaves it.
func TestJoin_WaitsForWeeks(t *testing.T) {
	now := time.Now()
	st, e := openAt(t, Config{FirstBoot: Approve}, func() time.Time { return now })
	patient, gone := request(t), request(t)
	ask := func(csr string) string {
		t.Helper()
		out, err := e.Join(t.Context(), enrol.JoinRequest{CSR: csr}, store.Origin{Address: "192.0.2.1"})
		if err != nil {
			t.Fatal(err)
		}
		return out.Pending
	}
	number := ask(patient)
	ask(gone)
	for range 30 {
		now = now.Add(24 * time.Hour)
		if again := ask(patient); again != number {
			t.Fatalf("it is %s now, and was %s", again, number)
		}
	}
	other := ask(request(t)) // which has old requests removed
	var all []string
	err := st.View(t.Context(), func(tx *store.Tx) error {
		list, err := e.Pending(tx)
		for _, p := range list {
			all = append(all, p.ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || !slices.Contains(all, number) || !slices.Contains(all, other) {
		t.Errorf("waiting: %v, not %s and %s", all, number, other)
	}
}
