package enrolment

import (
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// A restored server does not give the names that it gave after the backup, which
// machines out there go by: not in a series that the backup has, nor in a new one.
func TestRestored_NamesAreNew(t *testing.T) {
	st, e := open(t, Config{Names: "{type}{n}", Domain: "example.org"})
	given := map[string]bool{}
	next := func(nodeType string) {
		t.Helper()
		err := st.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
			id, err := e.nextName(tx, nodeType, "box")
			if given[id] {
				t.Errorf("%s again", id)
			}
			given[id] = true
			if err == nil {
				err = tx.Put(fleet.Hosts, fleet.Row{"type": fleet.OpsiClient, "id": id})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	next("vnode")
	for _, after := range []string{"vnode2", "vnode3", "site1", "site2"} { // on the server that was lost
		given[after+".example.org"] = true
	}
	for range 2 {
		if err := Restored(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		for _, nodeType := range []string{"vnode", "site"} {
			next(nodeType)
			next(nodeType)
		}
		given["kiosk1.example.org"], given["kiosk1001.example.org"] = true, true // and on the first one that was restored
	}
	next("kiosk")
}
