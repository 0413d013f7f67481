package trust_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	signed "github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/trust"
)

// The keys of a root are lost: another folder is refused, until the server was
// told to forget. Hosts of the first root do not follow the second.
func TestForget(t *testing.T) {
	key, path := cluster.NewKey(), filepath.Join(t.TempDir(), "fleet.db")
	s := newServer(t, openSQLite(t, path), key, nil)
	publish(t, folder(t, s), s)
	old := follow(t, s)
	other := folder(t, s)
	if _, err := other.Publish(t.Context(), s); fleet.CodeOf(err) != fleet.Conflict || fleet.HintOf(err) == "" {
		t.Fatalf("another root was taken: %v", err)
	}
	err := s.store.Update(t.Context(), store.Origin{Actor: "test"}, func(tx *store.Tx) error {
		roots, err := trust.Forget(tx)
		if roots != 1 {
			t.Errorf("%d roots were forgotten", roots)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s = newServer(t, openSQLite(t, path), key, nil)
	publish(t, other, s)
	if h := follow(t, s); bytes.Equal(h.Root().Raw(), old.Root().Raw()) || h.Versions()[signed.RoleTargets] != 1 {
		t.Errorf("the other root does not count: %v", h.Versions())
	}
	if err := old.UpdateRoot(s.file(t, "1.root.json")); err == nil {
		t.Error("a host of the first root follows the second")
	}
}
