package backendtest

import "github.com/fernwerk/fernwerk/internal/fleet"

const slotLimit = "opsiconfd.transfer.slots_opsiclientd_product_sync"

var slotCases = map[string]func(*bench){
	"depot_acquireTransferSlot": func(b *bench) {
		b.clients(3)
		b.call("config_createUnicode", slotLimit, "", []any{}, []any{"2"})
		first := b.slot(1)
		if first["slot_id"] == nil {
			b.Fatalf("no slot: %v", first)
		}
		b.same("retention", []any{int64(60), nil}, []any{first["retention"], first["retry_after"]})
		b.same("renewed", first, b.slot(1, first["slot_id"], "opsiclientd_product_sync"))
		b.same("a host has one, whatever it says", first, b.slot(1, "forgotten"))
		b.slot(2)
		full := b.slot(3)
		after, _ := full["retry_after"].(int64)
		if full["slot_id"] != nil || after < 60 || after > 120 {
			b.Errorf("all slots are taken: %v", full)
		}
		b.call("configState_create", slotLimit, "depot1.example.org", "0")
		b.same("another depot has its own", nil, b.call("depot_acquireTransferSlot", "depot1.example.org", client(1)).(map[string]any)["slot_id"])
		b.call("host_delete", client(2))
		if b.slot(3)["slot_id"] == nil {
			b.Error("the slot of a host that is gone is not free")
		}
		b.refused(fleet.Invalid, "depot_acquireTransferSlot", client(1), client(1))
		b.refused(fleet.NotFound, "depot_acquireTransferSlot", "depot9.example.org", client(1))
		b.refused(fleet.NotFound, "depot_acquireTransferSlot", "server.example.org", "pc9.example.org")
		b.refused(fleet.Invalid, "depot_acquireTransferSlot", "server.example.org", client(1), nil, "other")
	},
	"depot_releaseTransferSlot": func(b *bench) {
		b.clients(2)
		b.call("config_createUnicode", slotLimit, "", []any{}, []any{"1"})
		id := b.slot(1)["slot_id"]
		b.call("depot_releaseTransferSlot", "server.example.org", client(1), "another")
		b.same("another's id releases nothing", nil, b.slot(2)["slot_id"])
		b.call("depot_releaseTransferSlot", "server.example.org", client(1), id)
		if b.slot(2)["slot_id"] == nil {
			b.Error("a released slot is not free")
		}
		b.call("depot_releaseTransferSlot", "server.example.org", client(1), id)
	},
}

func (b *bench) slot(n int, more ...any) map[string]any {
	b.Helper()
	return b.call("depot_acquireTransferSlot", append([]any{"server.example.org", client(n)}, more...)...).(map[string]any)
}
