package methods_test

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// A seat that was reserved for a client which is not heard of again goes to
// another that needs it; a client that is heard of keeps its own.
func TestReservation_LapsesWithoutItsClient(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		pulls []time.Duration // of the first client, after its reservation
		asked time.Duration   // when the second pulls
		gets  bool
	}{
		{"soon", nil, 29 * day, false},
		{"lapsed", nil, 31 * day, true},
		{"renewed", []time.Duration{20 * day}, 31 * day, false},
		{"too early to renew", []time.Duration{1 * day}, 31 * day, true},
		{"renewed, and lapsed", []time.Duration{20 * day}, 51 * day, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
			now := start
			s := licensedFleet(t, func() time.Time { return now })
			holder := func() (id string) {
				err := s.View(t.Context(), func(tx *store.Tx) error {
					rows, err := tx.Select(fleet.LicensesOnClients, nil)
					if len(rows) == 1 {
						id = rows[0].Str("clientId")
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				return id
			}
			svc := catalog.New(s, methods.Ports{})
			pull := func(client string, at time.Duration) {
				t.Helper()
				now = start.Add(at)
				if _, err := svc.Call(t.Context(), methods.Actor{Role: methods.Host, ID: client}, "replica_pull", methods.Pos(client, map[string]any{})); err != nil {
					t.Fatal(err)
				}
			}
			pull(own, 0)
			if holder() != own {
				t.Fatalf("the seat is %q's", holder())
			}
			for _, at := range tt.pulls {
				pull(own, at)
			}
			pull(others, tt.asked)
			if want := map[bool]string{true: others, false: own}[tt.gets]; holder() != want {
				t.Errorf("the seat is %q's, want %s", holder(), want)
			}
		})
	}
}

// Far from the server, the client's own service answers with the seat that the
// pull brought, and takes none by itself.
func TestReservation_IsFoundInTheWorkingCopy(t *testing.T) {
	svc := catalog.New(licensedFleet(t, time.Now), methods.Ports{})
	host := methods.Actor{Role: methods.Host, ID: own}
	got, err := svc.Call(t.Context(), host, "replica_pull", methods.Pos(own, map[string]any{}))
	if err != nil {
		t.Fatal(err)
	}
	var answer replica.PullAnswer
	if err := json.Unmarshal([]byte(asText(t, got)), &answer); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, time.Now)
	err = s.Update(t.Context(), store.Origin{Source: store.Replica}, func(tx *store.Tx) error {
		_, err := replica.Apply(tx, answer, func(string, string) bool { return false })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cache := catalog.New(s, methods.Ports{})
	seat, err := cache.Call(t.Context(), host, "licenseOnClient_getOrCreateObject", methods.Pos(own, nil, "writer"))
	if err != nil {
		t.Fatal(err)
	}
	if key := seat.(fleet.Row)["licenseKey"]; key != "KEY" {
		t.Errorf("key %v", key)
	}
	if _, err := cache.Call(t.Context(), host, "licenseOnClient_delete", methods.Pos("l1", "office", own)); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Call(t.Context(), host, "licenseOnClient_getOrCreateObject", methods.Pos(own, nil, "writer")); fleet.CodeOf(err) != fleet.NotFound {
		t.Errorf("a working copy made a seat: %v", err)
	}
}

func openStore(t *testing.T, now func() time.Time) *store.Store {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, now, catalog.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// licensedFleet has two clients that shall install a product, and one licence.
func licensedFleet(t *testing.T, now func() time.Time) *store.Store {
	t.Helper()
	s := openStore(t, now)
	put := func(tx *store.Tx, c *fleet.Class, rows ...fleet.Row) {
		for _, r := range rows {
			if err := tx.Put(c, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := s.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		put(tx, fleet.Hosts, fleet.Row{"type": fleet.OpsiConfigserver, "id": "server.example.org"}, fleet.Row{"id": own}, fleet.Row{"id": others})
		put(tx, fleet.Configs, fleet.Row{"type": fleet.BoolConfig, "id": "license-management.use", "defaultValues": true},
			fleet.Row{"type": fleet.UnicodeConfig, "id": "opsiconfd.transfer.slots_opsiclientd_product_sync", "defaultValues": "1"})
		put(tx, fleet.Products, fleet.Row{"id": "writer", "productVersion": "1", "packageVersion": "1", "licenseRequired": true, "setupScript": "setup.sh"})
		put(tx, fleet.ProductsOnDepots, fleet.Row{"productId": "writer", "productVersion": "1", "packageVersion": "1", "depotId": "server.example.org"})
		put(tx, fleet.LicenseContracts, fleet.Row{"id": "c1"})
		put(tx, fleet.LicensePools, fleet.Row{"id": "office", "productIds": "writer"})
		put(tx, fleet.SoftwareLicenses, fleet.Row{"id": "l1", "licenseContractId": "c1"})
		put(tx, fleet.LicensesInPools, fleet.Row{"softwareLicenseId": "l1", "licensePoolId": "office", "licenseKey": "KEY"})
		for _, id := range []string{own, others} {
			put(tx, fleet.ProductsOnClients, fleet.Row{"productId": "writer", "clientId": id, "actionRequest": "setup"})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
