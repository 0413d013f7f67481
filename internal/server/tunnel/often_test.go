package tunnel

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// A host that asks without a pause does not fill the database with certificates
// and the journal with notes of them.
func TestCredentials_TooOften(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	now := time.Now()
	st, err := store.Open(t.Context(), db, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	who, made := "pc1.example.org", 0
	all := &Tunnels{Store: st, Now: func() time.Time { return now }, Roots: func() []byte { return nil },
		All:  []tunnel.Settings{{Name: "lab", Remote: "vpn.example.org"}, {Name: "home", Remote: "vpn.example.org"}},
		Host: func(*http.Request) (string, error) { return who, nil },
		Certify: func(*store.Tx, []byte, string, string) (enrol.Certificate, error) {
			made++
			return enrol.Certificate{}, nil
		}}
	ask := func(name string) error {
		r := httptest.NewRequest(http.MethodPost, "/v1/tunnel/"+name, strings.NewReader(`{"csr": ""}`))
		r.SetPathValue("name", name)
		_, _, err := all.Credentials(httptest.NewRecorder(), r)
		return err
	}
	good := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for range burst {
		good("at first", ask("lab"))
	}
	if err := ask("lab"); fleet.CodeOf(err) != fleet.Unavailable || made != burst {
		t.Errorf("one too many: %v, %d made", err, made)
	}
	good("another tunnel", ask("home"))
	who = "pc2.example.org"
	good("another host", ask("lab"))
	who = "pc1.example.org"
	now = now.Add(2 * time.Hour)
	good("later", ask("lab"))
	if len(all.asked) != 1 {
		t.Errorf("%d hosts are remembered", len(all.asked))
	}
}
