package gate

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

func TestGives(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	st, err := store.Open(t.Context(), db, time.Now, fleet.NodeTypes)
	if err != nil {
		t.Fatal(err)
	}
	for _, tunnel := range []string{"openvpn", "mesh", "both", "none"} {
		row := fleet.NodeTypes.Encode(fleet.NodeType{ID: tunnel, Tunnel: tunnel, DeadName: "keep", Scheduler: "none", Resources: "core"})
		if err := st.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error { return tx.Put(fleet.NodeTypes, row) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		kind   string
		served bool
		todo   string // in the refusal; "" for none
	}{
		{"openvpn", true, ""}, {"openvpn", false, ""}, {"both", true, ""}, {"both", false, ""},
		{"mesh", true, "node-type set mesh --tunnel both"}, {"mesh", false, "node-type set mesh --tunnel both"},
		{"none", true, "node-type set none --tunnel openvpn"}, {"none", false, ""}, // as before there were types that said something
		{"", true, ""}, {"", false, ""}, {"gone", true, ""},
	} {
		err := st.View(t.Context(), func(tx *store.Tx) error { return Gives(tx, c.kind, c.served) })
		if (err == nil) != (c.todo == "") || err != nil && (fleet.CodeOf(err) != fleet.Denied || !strings.Contains(err.Error(), c.todo)) {
			t.Errorf("type %q, served %v: %v", c.kind, c.served, err)
		}
	}
}
