package backendtest

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// handCases show the methods that are written by hand.
var handCases = bench.Cases{
	"replica_pull": func(b *bench.Bench) {
		b.ClientWithAction()
		ask := func(req map[string]any) map[string]any {
			return b.Call("replica_pull", "pc1.example.org", req).(map[string]any)
		}
		first := ask(map[string]any{})
		b.Same("full", true, first["full"])
		b.Same("products", []any{"firefox", "runtime"}, first["scope"].(map[string]any)["products"])
		again := ask(map[string]any{"position": first["position"], "scope": first["scope"]})
		b.Same("nothing changed", []any{false, map[string]any{}, map[string]any{}}, []any{again["full"], again["rows"], again["gone"]})
		b.Call("configState_create", "clientconfig.depot.protocol", "pc1.example.org", "cifs")
		b.Call("productPropertyState_delete", "firefox", "language", "pc1.example.org")
		next := ask(map[string]any{"position": again["position"], "scope": again["scope"]})
		b.Same("full", false, next["full"])
		b.Same("one row came", int64(1), int64(len(next["rows"].(map[string]any)["configState"].([]any))))
		b.Same("one is gone", []any{"firefox;language;pc1.example.org"}, next["gone"].(map[string]any)["productPropertyState"])
		forged := map[string]any{"epoch": next["position"].(map[string]any)["epoch"], "revision": int64(1), "tag": "forged"}
		b.Same("a forked history", true, ask(map[string]any{"position": forged, "scope": next["scope"]})["full"])
	},
	"replica_push": func(b *bench.Bench) {
		b.ClientWithAction()
		base := b.Find(fleet.ProductsOnClients, map[string]any{"productId": "firefox"})[0].(map[string]any)
		mine := map[string]any{}
		for k, v := range base {
			mine[k] = v
		}
		mine["actionRequest"], mine["installationStatus"], mine["actionResult"], mine["lastAction"] = "none", "installed", "successful", "setup"
		req := map[string]any{"id": "p1", "versions": map[string]any{"firefox": "115.0-1", "runtime": "3-1"},
			"changes": []any{map[string]any{"class": "productOnClient", "base": base, "mine": mine}}}
		a := b.Call("replica_push", "pc1.example.org", req).(map[string]any)
		b.Same("decision", "put", a["results"].([]any)[0].(map[string]any)["op"])
		now := b.Find(fleet.ProductsOnClients, map[string]any{"productId": "firefox"})[0].(map[string]any)
		b.Same("result", []any{"none", "installed", "successful"}, []any{now["actionRequest"], now["installationStatus"], now["actionResult"]})
		b.Call("productOnClient_updateObjects", fleet.Row{"productId": "firefox", "clientId": "pc1.example.org", "productType": "LocalbootProduct", "actionRequest": "setup"})
		a = b.Call("replica_push", "pc1.example.org", req).(map[string]any)
		b.Same("repeated", true, a["repeated"])
		now = b.Find(fleet.ProductsOnClients, map[string]any{"productId": "firefox"})[0].(map[string]any)
		b.Same("a request set since is not lost to a repeated push", "setup", now["actionRequest"])
	},
	"setProductActionRequestWithDependencies": func(b *bench.Bench) {
		b.ClientWithAction()
		b.Call("productOnClient_deleteObjects", b.Find(fleet.ProductsOnClients, nil))
		b.Call("setProductActionRequestWithDependencies", "firefox", "pc1.example.org", "setup")
		var got []any
		for _, r := range b.Find(fleet.ProductsOnClients, map[string]any{"actionRequest": "setup"}) {
			got = append(got, r.(map[string]any)["productId"])
		}
		b.Same("requests", []any{"firefox", "runtime"}, got)
		b.Refused(fleet.NotFound, "setProductActionRequestWithDependencies", "nothing", "pc1.example.org", "setup")
		b.Refused(fleet.NotFound, "setProductActionRequestWithDependencies", "firefox", "pc2.example.org", "setup")
		b.Refused(fleet.Invalid, "setProductActionRequestWithDependencies", "firefox", "pc1.example.org", "uninstall")
	},
}

// ruleCases are rules that belong to no single method.
var ruleCases = bench.Cases{
	"filters/wildcards stand for text only": func(b *bench.Bench) {
		b.Servers()
		for _, tt := range []struct {
			filter string
			want   int
		}{
			{"*50%_off*", 1}, {"*50_%off*", 0}, {"*50%*", 1}, {"müller*", 0}, {"Müller*", 1}, {"M_ller*", 0}, {"*", 1}, {"[M]*", 0}, {"?üller*", 0},
		} {
			if got := b.Find(fleet.Hosts, map[string]any{"description": tt.filter, "type": "OpsiClient"}); len(got) != tt.want {
				b.Errorf("description %q finds %d clients, want %d", tt.filter, len(got), tt.want)
			}
		}
	},
	"filters/no value and the empty text are one": func(b *bench.Bench) {
		b.PutAll(fleet.Configs)
		b.Call("config_createUnicode", "empty", "", nil, nil)
		for _, v := range []any{nil, ""} {
			if got := b.Find(fleet.Configs, map[string]any{"description": v}); len(got) != 1 {
				b.Errorf("description %#v finds %d, want 1", v, len(got))
			}
		}
		if got := b.Find(fleet.Configs, map[string]any{"description": []any{nil, "how"}}); len(got) != 2 {
			b.Errorf("nil or %q finds %d, want 2", "how", len(got))
		}
	},
	"filters/a list matches by any element": func(b *bench.Bench) {
		b.PutAll(fleet.Configs)
		b.PutAll(fleet.ConfigStates)
		for _, tt := range []struct {
			class *fleet.Class
			name  string
			value any
			want  int
		}{
			{fleet.Configs, "possibleValues", "webdav", 1}, {fleet.Configs, "possibleValues", "web*", 1}, {fleet.Configs, "possibleValues", true, 1},
			{fleet.Configs, "possibleValues", "true", 0}, {fleet.ConfigStates, "values", false, 1}, {fleet.ConfigStates, "values", []any{false, "cifs"}, 2},
		} {
			if got := b.Find(tt.class, map[string]any{tt.name: tt.value}); len(got) != tt.want {
				b.Errorf("%s %#v finds %d, want %d", tt.name, tt.value, len(got), tt.want)
			}
		}
	},
	"filters/types, booleans and numbers": func(b *bench.Bench) {
		b.Servers()
		b.PutAll(fleet.ProductsOnDepots)
		b.PutAll(fleet.Products)
		for _, tt := range []struct {
			class *fleet.Class
			f     map[string]any
			want  int
		}{
			{fleet.Hosts, map[string]any{"type": "OpsiClient"}, 1}, {fleet.Hosts, map[string]any{"type": []any{"OpsiClient", "OpsiDepotserver"}}, 3},
			{fleet.Hosts, map[string]any{"type": "OpsiDepotserver"}, 2}, {fleet.Hosts, map[string]any{"type": "OpsiConfigserver"}, 1}, {fleet.Hosts, map[string]any{"type": "Host"}, 3},
			{fleet.Hosts, map[string]any{"type": nil}, 3}, {fleet.Hosts, map[string]any{"id": []any{}}, 3}, {fleet.Hosts, map[string]any{"id": "PC1.Example.org"}, 1},
			{fleet.ProductsOnDepots, map[string]any{"locked": true}, 1}, {fleet.ProductsOnDepots, map[string]any{"locked": "false"}, 1},
			{fleet.Products, map[string]any{"priority": 10}, 1}, {fleet.Products, map[string]any{"priority": "10"}, 1},
		} {
			if got := b.Find(tt.class, tt.f); len(got) != tt.want {
				b.Errorf("%s %v finds %d, want %d", tt.class.Name, tt.f, len(got), tt.want)
			}
		}
		b.Refused(fleet.Invalid, "host_getObjects", []any{}, map[string]any{"colour": "red"})
	},
	"order/by identity, bytewise": func(b *bench.Bench) {
		for _, id := range []string{"b", "a-b", "a", "a.b", "ab"} {
			b.Call("config_createUnicode", id)
		}
		b.Same("order", []any{"a", "a-b", "a.b", "ab", "b"}, b.Rows("config_getIdents", methods.Params{}))
	},
	"delete/takes along what belongs to the object": func(b *bench.Bench) {
		for _, c := range fleet.Classes() {
			b.PutAll(c)
		}
		b.Call("host_delete", "pc1.example.org")
		for _, c := range []*fleet.Class{fleet.ProductsOnClients, fleet.ConfigStates, fleet.ProductPropertyStates, fleet.LicensesOnClients, fleet.AuditSoftwareOnClients, fleet.AuditHardwareOnHosts} {
			if got := b.Find(c, nil); len(got) != 0 {
				b.Errorf("%d %s are left", len(got), c.Name)
			}
		}
		if got := b.Find(fleet.Memberships, nil); len(got) != 1 {
			b.Errorf("%d memberships are left, want the product's", len(got))
		}
		b.Call("product_delete", "firefox")
		if got := b.Find(fleet.ProductProperties, nil); len(got) != 0 {
			b.Errorf("%d properties are left", len(got))
		}
	},
	"update/null leaves a value alone": func(b *bench.Bench) {
		b.PutAll(fleet.ProductsOnClients)
		b.Call("productOnClient_updateObjects", fleet.Row{"productId": "firefox", "productType": "LocalbootProduct", "clientId": "pc1.example.org", "actionRequest": "none", "productVersion": nil})
		got := b.Find(fleet.ProductsOnClients, map[string]any{"productId": "firefox"})[0].(map[string]any)
		b.Same("version", "114.0", got["productVersion"])
		b.Same("request", "none", got["actionRequest"])
		if got["modificationTime"] == nil {
			b.Error("the service did not stamp the change")
		}
	},
	"calls/wrong names and arguments": func(b *bench.Bench) {
		b.Refused(fleet.NotFound, "host_getObject")
		b.Refused(fleet.Invalid, "backend_exit", 1, 2)
		if _, err := b.Try("getServiceTime", methods.Params{Named: map[string]any{"utc": true}}); fleet.CodeOf(err) != fleet.Invalid {
			b.Errorf("unknown parameter: %v", err)
		}
	},
}
