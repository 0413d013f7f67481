package backendtest

import "github.com/fernwerk/fernwerk/internal/fleet"

// paramCases show which value counts, and which depot serves whom.
var paramCases = map[string]func(*bench){
	"configState_getValues": func(b *bench) {
		b.servers()
		b.call("config_createBool", "opsiclientd.event_timer.active", "timer", false)
		b.call("config_createUnicode", "clientconfig.depot.protocol", "", []any{"cifs", "webdav"}, []any{"cifs"})
		b.call("config_createUnicode", "clientconfig.depot.id", "", []any{}, []any{"depot1.example.org"})
		ask := func(defaults bool) any {
			return b.call("configState_getValues", []any{"opsiclientd.*", "clientconfig.depot.protocol"}, []any{"pc1.example.org"}, defaults)
		}
		is := func(timer, protocol any) any {
			return map[string]any{"pc1.example.org": map[string]any{"opsiclientd.event_timer.active": []any{timer}, "clientconfig.depot.protocol": []any{protocol}}}
		}
		b.same("defaults", is(false, "cifs"), ask(true))
		b.same("without defaults", map[string]any{}, ask(false))
		b.call("configState_create", "clientconfig.depot.protocol", "server.example.org", []any{"webdav"})
		b.same("the config server's value", is(false, "webdav"), ask(true))
		b.call("configState_create", "clientconfig.depot.protocol", "depot1.example.org", []any{"cifs"})
		b.call("configState_create", "opsiclientd.event_timer.active", "depot1.example.org", true)
		b.same("the depot's value", is(true, "cifs"), ask(true))
		b.same("is not the client's own", map[string]any{}, ask(false))
		b.call("configState_create", "clientconfig.depot.protocol", "pc1.example.org", "webdav")
		b.same("the client's value", is(true, "webdav"), ask(true))
		b.same("its own", map[string]any{"pc1.example.org": map[string]any{"clientconfig.depot.protocol": []any{"webdav"}}}, ask(false))
		all := b.call("configState_getValues", "clientconfig.depot.protocol").(map[string]any)
		b.same("nobody named: everybody", map[string]any{
			"pc1.example.org":    map[string]any{"clientconfig.depot.protocol": []any{"webdav"}},
			"depot1.example.org": map[string]any{"clientconfig.depot.protocol": []any{"cifs"}},
			"server.example.org": map[string]any{"clientconfig.depot.protocol": []any{"webdav"}},
		}, all)
	},
	"configState_getClientToDepotserver": func(b *bench) {
		b.servers()
		ask := func(args ...any) any { return b.call("configState_getClientToDepotserver", args...) }
		here := func(depot string, others ...any) any {
			if others == nil {
				others = []any{}
			}
			return []any{map[string]any{"clientId": "pc1.example.org", "depotId": depot, "alternativeDepotIds": others}}
		}
		b.same("no parameter: the config server", here("server.example.org"), ask())
		b.call("config_createUnicode", "clientconfig.depot.id", "", []any{}, []any{"depot1.example.org"})
		b.same("the default", here("depot1.example.org"), ask([]any{}, []any{"pc1.example.org"}))
		b.call("configState_create", "clientconfig.depot.id", "pc1.example.org", "server.example.org")
		b.same("its own", here("server.example.org"), ask())
		b.same("another depot's clients", []any{}, ask([]any{"depot1.example.org"}))
		b.call("configState_create", "clientconfig.depot.id", "pc1.example.org", "gone.example.org")
		b.same("a depot that is not there", here("server.example.org"), ask())

		b.call("host_createOpsiDepotserver", "depot2.example.org")
		for _, depot := range []string{"server.example.org", "depot1.example.org", "depot2.example.org"} {
			b.call("productOnDepot_create", "firefox", "LocalbootProduct", "115.0", "1", depot)
		}
		b.call("productOnDepot_create", "runtime", "LocalbootProduct", "3", "1", "server.example.org")
		b.call("productOnDepot_create", "runtime", "LocalbootProduct", "3", "1", "depot1.example.org")
		b.call("productOnDepot_create", "runtime", "LocalbootProduct", "3", "2", "depot2.example.org")
		b.same("only the client's own depot", here("server.example.org"), ask([]any{}, []any{}, true, []any{"firefox"}))
		b.same("all that have the product", here("server.example.org", "depot1.example.org", "depot2.example.org"), ask([]any{}, []any{}, false, []any{"firefox"}))
		b.same("all that have both", here("server.example.org", "depot1.example.org"), ask([]any{}, []any{}, false, []any{"firefox", "runtime"}))
		b.same("all that have all", here("server.example.org", "depot1.example.org"), ask([]any{}, []any{}, false))
		b.call("productOnDepot_create", "firefox", "LocalbootProduct", "115.0", "1", "depot1.example.org", true)
		b.same("but none that changes one just now", here("server.example.org", "depot2.example.org"), ask([]any{}, []any{}, false, []any{"firefox"}))
		b.same("a product that nobody has", here("server.example.org"), ask([]any{}, []any{}, false, []any{"nothing"}))
	},
	"getDepotId": func(b *bench) {
		b.servers()
		b.call("config_createUnicode", "clientconfig.depot.id", "", []any{}, []any{"depot1.example.org"})
		b.same("of the client", "depot1.example.org", b.call("getDepotId", "pc1.example.org"))
		b.same("of nobody", "server.example.org", b.call("getDepotId"))
	},
	"productPropertyState_getValues": func(b *bench) {
		b.servers()
		b.product("firefox", "115.0", "1")
		b.product("runtime", "3", "1")
		b.call("productProperty_createUnicode", "firefox", "115.0", "1", "language", "", []any{"de", "en", "fr"}, []any{"de"})
		b.call("productProperty_createUnicode", "firefox", "114.0", "1", "language", "", []any{"xx"}, []any{"xx"}) // no depot has it
		ask := func(defaults bool) any {
			return b.call("productPropertyState_getValues", []any{"firefox"}, nil, []any{"pc1.example.org"}, defaults)
		}
		is := func(v string) any {
			return map[string]any{"pc1.example.org": map[string]any{"firefox": map[string]any{"language": []any{v}}}}
		}
		b.same("default", is("de"), ask(true))
		b.call("productPropertyState_create", "firefox", "language", "server.example.org", "en")
		b.same("the depot's", is("en"), ask(true))
		b.same("not its own", map[string]any{}, ask(false))
		b.call("productPropertyState_create", "firefox", "language", "pc1.example.org", "fr")
		b.same("the client's", is("fr"), ask(true))
		b.same("its own", is("fr"), ask(false))
		all := b.call("productPropertyState_getValues").(map[string]any)
		b.same("the depot's own", map[string]any{"firefox": map[string]any{"language": []any{"en"}}}, all["server.example.org"])
	},
}

// sequenceCases show the order of actions.
var sequenceCases = map[string]func(*bench){
	"productOnClient_getObjectsWithSequence": func(b *bench) {
		b.clientWithAction()
		b.call("productOnClient_create", "unrelated", "LocalbootProduct", "pc1.example.org", "installed", "none")
		got := func(attributes []any) []any {
			var out []any
			for _, r := range b.rows("productOnClient_getObjectsWithSequence", params(attributes, map[string]any{"clientId": "pc1.example.org"})) {
				r := r.(map[string]any)
				out = append(out, r["productId"], r["actionRequest"], r["actionSequence"])
			}
			return out
		}
		b.same("nothing is added", []any{"firefox", "setup", int64(0), "unrelated", "none", int64(-1)}, got([]any{}))
		b.call("productOnClient_create", "runtime", "LocalbootProduct", "pc1.example.org", "not_installed", "setup")
		b.same("order", []any{"runtime", "setup", int64(0), "firefox", "setup", int64(1), "unrelated", "none", int64(-1)}, got([]any{"actionRequest", "actionSequence"}))
		b.same("not asked for the order", []any{"firefox", "setup", nil, "runtime", "setup", nil, "unrelated", "none", nil}, got([]any{"actionRequest"}))
	},
	"productOnClient_getActionGroups": func(b *bench) {
		b.clientWithAction()
		b.call("productOnClient_create", "unrelated", "LocalbootProduct", "pc1.example.org", "not_installed", "setup")
		b.call("product_updateObject", fleet.Row{"type": "LocalbootProduct", "id": "unrelated", "productVersion": "1", "packageVersion": "1", "priority": 5})
		var got []any
		for _, g := range b.call("productOnClient_getActionGroups", "pc1.example.org").([]any) {
			g := g.(map[string]any)
			got = append(got, g["priority"], g["priorities"])
			for _, r := range g["product_on_clients"].([]any) {
				r := r.(map[string]any)
				got = append(got, r["productId"], r["actionRequest"], r["actionSequence"], r["type"])
			}
			for product, list := range g["dependencies"].(map[string]any) {
				got = append(got, product, list.([]any)[0].(map[string]any)["requiredProductId"])
			}
		}
		b.same("groups", []any{
			int64(5), map[string]any{"unrelated": int64(5)}, "unrelated", "setup", int64(0), "ProductOnClient",
			int64(0), map[string]any{"runtime": int64(0), "firefox": int64(0)}, "runtime", "setup", int64(1), "ProductOnClient", "firefox", "setup", int64(2), "ProductOnClient",
			"firefox", "runtime",
		}, got)
		b.same("nothing is written", int64(2), int64(len(b.find(fleet.ProductsOnClients, nil))))
	},
	"getProductOrdering": func(b *bench) {
		b.clientWithAction()
		b.same("ordering", map[string]any{"not_sorted": []any{"firefox", "runtime", "unrelated"}, "sorted": []any{"runtime", "firefox", "unrelated"}},
			b.call("getProductOrdering", "server.example.org"))
		b.refused(fleet.Invalid, "getProductOrdering", "server.example.org", "algorithm2")
	},
}
