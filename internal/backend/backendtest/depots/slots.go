package depots

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const slotLimit = "opsiconfd.transfer.slots_opsiclientd_product_sync"

var slotCases = bench.Cases{
	"depot_acquireTransferSlot": func(b *bench.Bench) {
		b.Clients(3)
		b.Call("config_createUnicode", slotLimit, "", []any{}, []any{"2"})
		first := slot(b, 1)
		if first["slot_id"] == nil {
			b.Fatalf("no slot: %v", first)
		}
		b.Same("retention", []any{int64(60), nil}, []any{first["retention"], first["retry_after"]})
		b.Same("renewed", first, slot(b, 1, first["slot_id"], "opsiclientd_product_sync"))
		b.Same("a host has one, whatever it says", first, slot(b, 1, "forgotten"))
		slot(b, 2)
		full := slot(b, 3)
		after, _ := full["retry_after"].(int64)
		if full["slot_id"] != nil || after < 60 || after > 120 {
			b.Errorf("all slots are taken: %v", full)
		}
		b.Call("configState_create", slotLimit, "depot1.example.org", "0")
		b.Same("another depot has its own", nil, b.Call("depot_acquireTransferSlot", "depot1.example.org", bench.Client(1)).(map[string]any)["slot_id"])
		b.Call("host_delete", bench.Client(2))
		if slot(b, 3)["slot_id"] == nil {
			b.Error("the slot of a host that is gone is not free")
		}
		b.Refused(fleet.Invalid, "depot_acquireTransferSlot", bench.Client(1), bench.Client(1))
		b.Refused(fleet.NotFound, "depot_acquireTransferSlot", "depot9.example.org", bench.Client(1))
		b.Refused(fleet.NotFound, "depot_acquireTransferSlot", "server.example.org", "pc9.example.org")
		b.Refused(fleet.Invalid, "depot_acquireTransferSlot", "server.example.org", bench.Client(1), nil, "other")
	},
	"depot_releaseTransferSlot": func(b *bench.Bench) {
		b.Clients(2)
		b.Call("config_createUnicode", slotLimit, "", []any{}, []any{"1"})
		id := slot(b, 1)["slot_id"]
		b.Call("depot_releaseTransferSlot", "server.example.org", bench.Client(1), "another")
		b.Same("another's id releases nothing", nil, slot(b, 2)["slot_id"])
		b.Call("depot_releaseTransferSlot", "server.example.org", bench.Client(1), id)
		if slot(b, 2)["slot_id"] == nil {
			b.Error("a released slot is not free")
		}
		b.Call("depot_releaseTransferSlot", "server.example.org", bench.Client(1), id)
	},
}

func slot(b *bench.Bench, n int, more ...any) map[string]any {
	b.Helper()
	return b.Call("depot_acquireTransferSlot", append([]any{"server.example.org", bench.Client(n)}, more...)...).(map[string]any)
}
