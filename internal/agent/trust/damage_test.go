package trust_test

import (
	"strings"
	"testing"

	agenttrust "github.com/fernwerk/fernwerk/internal/agent/trust"
	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// damage changes a kept document, as a disk may.
func damage(t *testing.T, s *store.Store) {
	t.Helper()
	err := s.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error {
		class := agenttrust.Classes()[0]
		row, err := tx.ByKey(class, "snapshot")
		if err != nil || row == nil {
			t.Fatal(row, err)
		}
		row["text"] = strings.Replace(row.Str("text"), "2027", "2037", 1)
		return tx.Put(class, row)
	})
	if err != nil {
		t.Fatal(err)
	}
}
