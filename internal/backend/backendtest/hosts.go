package backendtest

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var hostCases = map[string]func(*bench){
	"host_renameOpsiClient": func(b *bench) {
		const old, renamed = "pc1.example.org", "laptop7.example.org"
		for _, c := range fleet.Classes() {
			b.putAll(c)
		}
		b.call("objectToGroup_create", "ProductGroup", "basics", old) // a product of that name
		before := map[*fleet.Class][]any{}
		for _, c := range fleet.Classes() {
			before[c] = b.find(c, nil)
		}
		b.call("host_renameOpsiClient", "PC1.example.org", renamed)
		for _, c := range fleet.Classes() {
			now := map[string]map[string]any{}
			for _, r := range b.find(c, nil) {
				r := r.(map[string]any)
				now[c.Key(r)] = r
			}
			b.same("objects of "+c.Name, int64(len(before[c])), int64(len(now)))
			for _, r := range before[c] {
				want := fleet.Row(r.(map[string]any)).Clone()
				for name, v := range want {
					if v == old && want["groupType"] != fleet.ProductGroup {
						want[name] = renamed
					}
				}
				got := now[c.Key(want)]
				if got == nil {
					b.Errorf("%s %s is missing", c.Name, c.IdentString(want))
				}
				for name, v := range got {
					if col := c.Column(name); name != "ident" && (col == nil || col.Stamp != "write") {
						b.same(c.Name+" "+name, want[name], v)
					}
				}
			}
		}
		b.refused(fleet.NotFound, "host_renameOpsiClient", old, "pc3.example.org")
		b.refused(fleet.Exists, "host_renameOpsiClient", renamed, "depot1.example.org")
		b.refused(fleet.Invalid, "host_renameOpsiClient", "depot1.example.org", "depot2.example.org")
		b.refused(fleet.Invalid, "host_renameOpsiClient", renamed, "short")
	},
}

var hostRules = map[string]func(*bench){
	// By position, as scripts that were written for opsi call it.
	"create/hosts take their attributes in opsi's order": func(b *bench) {
		for _, tt := range []struct{ method, order string }{
			{"host_createOpsiClient", "id opsiHostKey description notes hardwareAddress ipAddress inventoryNumber oneTimePassword created lastSeen systemUUID"},
			{"host_createOpsiDepotserver", "id opsiHostKey depotLocalUrl depotRemoteUrl depotWebdavUrl repositoryLocalUrl repositoryRemoteUrl description notes hardwareAddress ipAddress inventoryNumber networkAddress maxBandwidth isMasterDepot masterDepotId workbenchLocalUrl workbenchRemoteUrl systemUUID"},
			{"host_createOpsiConfigserver", "id opsiHostKey depotLocalUrl depotRemoteUrl depotWebdavUrl repositoryLocalUrl repositoryRemoteUrl description notes hardwareAddress ipAddress inventoryNumber networkAddress maxBandwidth isMasterDepot masterDepotId workbenchLocalUrl workbenchRemoteUrl systemUUID"},
		} {
			for _, m := range b.rows("backend_getInterface", methods.Params{}) {
				m := m.(map[string]any)
				if m["name"] != tt.method {
					continue
				}
				var names []string
				for _, a := range m["args"].([]any)[1:] {
					names = append(names, a.(string))
				}
				b.same(tt.method, tt.order, strings.Join(names, " "))
			}
		}
		b.call("host_createOpsiDepotserver", "depot1.example.org", nil, "file:///var/lib/opsi/depot", "smb://depot1/opsi_depot",
			"webdavs://depot1.example.org:4447/depot", nil, nil, "a depot", "", nil, nil, "inv-1", "10.0.0.0/8", 125000, true)
		got := b.find(fleet.Hosts, nil)[0].(map[string]any)
		b.same("depot", []any{"smb://depot1/opsi_depot", "a depot", "inv-1", "10.0.0.0/8", int64(125000), true},
			[]any{got["depotRemoteUrl"], got["description"], got["inventoryNumber"], got["networkAddress"], got["maxBandwidth"], got["isMasterDepot"]})
	},
	"hosts/a renamed client keeps its reserved seat, and gives it back": func(b *bench) {
		b.licensed()
		b.call("configState_create", "license-management.use", "server.example.org", true)
		b.reserved(client(1))
		b.call("host_renameOpsiClient", client(1), client(5))
		b.same("kept", []any{int64(0), int64(1)}, []any{b.seats(client(1)), b.reserved(client(5))})
		b.call("setProductActionRequestWithDependencies", "writer", client(5), "none")
		b.same("given back", int64(0), b.reserved(client(5)))
	},
}
