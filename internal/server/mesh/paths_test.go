package mesh_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	content "github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/server/mesh"
)

// What nodes told is known to every server of a database, also to one that has just
// begun, until it is old; it goes with the host.
func TestPaths_AnotherServer(t *testing.T) {
	w := newWorld(t)
	one, two := w.host("client1.example.org", "10.134.7.38"), w.host("client2.example.org", "10.134.7.39")
	one.Paths = []content.Path{{Address: netip.MustParseAddr("10.134.7.39"), Direct: true, Reason: "lan", Via: "192.168.1.12:4243"}, {Address: netip.MustParseAddr("10.134.9.9"), Reason: "closed"}}
	w.ask("client1.example.org", one)
	w.ask("client2.example.org", two)
	paths := func() (all []content.Way) {
		t.Helper()
		other := mesh.New(w.mesh.Config) // knows nothing but the database
		err := w.store.View(t.Context(), func(tx *store.Tx) (err error) { all, err = other.Paths(tx); return err })
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	all := paths()
	if len(all) != 3 || all[0].Peer != "client2.example.org" || all[0].Path != "direct" || all[0].Via != "192.168.1.12:4243" || all[1].Via != "" || all[1].Path != "relayed" || all[1].Peer != "" || all[2].Path != "none" {
		t.Fatalf("%+v", all)
	}
	// The same again is no write, but lasts.
	written := func() int64 { _, n, _ := w.store.Stats(); return int64(n) }
	before := written()
	w.now = w.now.Add(time.Minute)
	w.ask("client1.example.org", one)
	if n := written() - before; n != 0 {
		t.Errorf("a question that told nothing new made %d updates", n)
	}
	for range 5 {
		w.now = w.now.Add(time.Minute)
		w.ask("client1.example.org", one)
	}
	if all := paths(); len(all) != 2 {
		t.Errorf("client2 asked no more, client1 did: %+v", all)
	}
	if err := w.store.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error {
		_, err := tx.Delete(fleet.Hosts, fleet.Filter{"id": "client1.example.org"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if all := paths(); len(all) != 0 {
		t.Errorf("of a host that was deleted: %+v", all)
	}
}
