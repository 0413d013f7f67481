package backendtest_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/test/require"
)

// Two servers on one database give the last seats to as many clients as there
// are seats, whichever server a client asks.
func TestLastSeats_TwoServers(t *testing.T) {
	url := require.Postgres(t)
	open := func() *sqldb.DB {
		db, err := postgres.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	servers := []*methods.Service{service(t, open()), service(t, open())}
	admin := methods.Actor{Role: methods.Administrator, ID: "anna"}
	call := func(server int, method string, args ...any) error {
		_, err := servers[server].Call(t.Context(), admin, method, methods.Pos(args...))
		return err
	}
	const asking, seats = 16, 5
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(call(0, "host_createOpsiConfigserver", "server.example.org"))
	must(call(0, "licenseContract_create", "c1"))
	must(call(0, "licensePool_create", "office"))
	must(call(1, "softwareLicense_createVolume", "l1", "c1", seats))
	must(call(1, "softwareLicenseToLicensePool_create", "l1", "office"))
	name := func(n int) string { return fmt.Sprintf("pc%d.example.org", n) }
	for n := range asking {
		must(call(n%2, "host_createOpsiClient", name(n)))
	}
	errs := make([]error, asking)
	var all sync.WaitGroup
	for n := range asking {
		all.Go(func() { errs[n] = call(n%2, "licenseOnClient_getOrCreateObject", name(n), "office") })
	}
	all.Wait()
	got := 0
	for _, err := range errs {
		if err == nil {
			got++
		} else if fleet.CodeOf(err) != fleet.NotFound {
			t.Error(err)
		}
	}
	if got != seats {
		t.Errorf("%d clients got one of %d seats", got, seats)
	}
}
