package methods_test

import (
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

// A slot that is not renewed is free again.
func TestTransferSlot_LapsesUnlessRenewed(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := licensedFleet(t, func() time.Time { return now })
	svc := catalog.New(s, methods.Ports{})
	ask := func(client string) any {
		t.Helper()
		v, err := svc.Call(t.Context(), methods.Actor{Role: methods.Host, ID: client}, "depot_acquireTransferSlot", methods.Pos("server.example.org", client))
		if err != nil {
			t.Fatal(err)
		}
		return v.(map[string]any)["slot_id"]
	}
	first := ask(own)
	now = now.Add(50 * time.Second)
	if got := ask(own); got != first {
		t.Errorf("renewed: %v, want %v", got, first)
	}
	now = now.Add(50 * time.Second)
	if got := ask(others); got != nil {
		t.Errorf("a renewed slot was given away: %v", got)
	}
	now = now.Add(11 * time.Second)
	if got := ask(others); got == nil {
		t.Error("a lapsed slot is not free")
	}
	if got := ask(own); got != nil {
		t.Errorf("two have the one slot: %v", got)
	}
}
