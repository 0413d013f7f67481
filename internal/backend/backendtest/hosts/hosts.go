package hosts

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var hostCases = bench.Cases{
	"host_renameOpsiClient": func(b *bench.Bench) {
		const old, renamed = "pc1.example.org", "laptop7.example.org"
		for _, c := range fleet.Classes() {
			b.PutAll(c)
		}
		b.Call("objectToGroup_create", "ProductGroup", "basics", old) // a product of that name
		before := map[*fleet.Class][]any{}
		for _, c := range fleet.Classes() {
			before[c] = b.Find(c, nil)
		}
		b.Call("host_renameOpsiClient", "PC1.example.org", renamed)
		for _, c := range fleet.Classes() {
			now := map[string]map[string]any{}
			for _, r := range b.Find(c, nil) {
				r := r.(map[string]any)
				now[c.Key(r)] = r
			}
			b.Same("objects of "+c.Name, int64(len(before[c])), int64(len(now)))
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
						b.Same(c.Name+" "+name, want[name], v)
					}
				}
			}
		}
		b.Refused(fleet.NotFound, "host_renameOpsiClient", old, "pc3.example.org")
		b.Refused(fleet.Exists, "host_renameOpsiClient", renamed, "depot1.example.org")
		b.Refused(fleet.Invalid, "host_renameOpsiClient", "depot1.example.org", "depot2.example.org")
		b.Refused(fleet.Invalid, "host_renameOpsiClient", renamed, "short")
	},
}

var hostRules = bench.Cases{
	// By position, as scripts that were written for opsi call it.
	"create/hosts take their attributes in opsi's order": func(b *bench.Bench) {
		for _, tt := range []struct{ method, order string }{
			{"host_createOpsiClient", "id opsiHostKey description notes hardwareAddress ipAddress inventoryNumber oneTimePassword created lastSeen systemUUID"},
			{"host_createOpsiDepotserver", "id opsiHostKey depotLocalUrl depotRemoteUrl depotWebdavUrl repositoryLocalUrl repositoryRemoteUrl description notes hardwareAddress ipAddress inventoryNumber networkAddress maxBandwidth isMasterDepot masterDepotId workbenchLocalUrl workbenchRemoteUrl systemUUID"},
			{"host_createOpsiConfigserver", "id opsiHostKey depotLocalUrl depotRemoteUrl depotWebdavUrl repositoryLocalUrl repositoryRemoteUrl description notes hardwareAddress ipAddress inventoryNumber networkAddress maxBandwidth isMasterDepot masterDepotId workbenchLocalUrl workbenchRemoteUrl systemUUID"},
		} {
			for _, m := range b.Rows("backend_getInterface", methods.Params{}) {
				m := m.(map[string]any)
				if m["name"] != tt.method {
					continue
				}
				var names []string
				for _, a := range m["args"].([]any)[1:] {
					names = append(names, a.(string))
				}
				b.Same(tt.method, tt.order, strings.Join(names, " "))
			}
		}
		b.Call("host_createOpsiDepotserver", "depot1.example.org", nil, "file:///var/lib/opsi/depot", "smb://depot1/opsi_depot",
			"webdavs://depot1.example.org:4447/depot", nil, nil, "a depot", "", nil, nil, "inv-1", "10.0.0.0/8", 125000, true)
		got := b.Find(fleet.Hosts, nil)[0].(map[string]any)
		b.Same("depot", []any{"smb://depot1/opsi_depot", "a depot", "inv-1", "10.0.0.0/8", int64(125000), true},
			[]any{got["depotRemoteUrl"], got["description"], got["inventoryNumber"], got["networkAddress"], got["maxBandwidth"], got["isMasterDepot"]})
	},
	"hosts/a renamed client keeps its reserved seat, and gives it back": func(b *bench.Bench) {
		b.Licensed()
		b.Call("configState_create", "license-management.use", "server.example.org", true)
		b.Reserved(bench.Client(1))
		b.Call("host_renameOpsiClient", bench.Client(1), bench.Client(5))
		b.Same("kept", []any{int64(0), int64(1)}, []any{b.Seats(bench.Client(1)), b.Reserved(bench.Client(5))})
		b.Call("setProductActionRequestWithDependencies", "writer", bench.Client(5), "none")
		b.Same("given back", int64(0), b.Reserved(bench.Client(5)))
	},
}
