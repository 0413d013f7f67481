package backendtest

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// paramCases show which value counts, and which depot serves whom.
var paramCases = bench.Cases{
	"configState_getValues": func(b *bench.Bench) {
		b.Servers()
		b.Call("config_createBool", "opsiclientd.event_timer.active", "timer", false)
		b.Call("config_createUnicode", "clientconfig.depot.protocol", "", []any{"cifs", "webdav"}, []any{"cifs"})
		b.Call("config_createUnicode", "clientconfig.depot.id", "", []any{}, []any{"depot1.example.org"})
		ask := func(defaults bool) any {
			return b.Call("configState_getValues", []any{"opsiclientd.*", "clientconfig.depot.protocol"}, []any{"pc1.example.org"}, defaults)
		}
		is := func(timer, protocol any) any {
			return map[string]any{"pc1.example.org": map[string]any{"opsiclientd.event_timer.active": []any{timer}, "clientconfig.depot.protocol": []any{protocol}}}
		}
		b.Same("defaults", is(false, "cifs"), ask(true))
		b.Same("without defaults", map[string]any{}, ask(false))
		b.Call("configState_create", "clientconfig.depot.protocol", "server.example.org", []any{"webdav"})
		b.Same("the config server's value", is(false, "webdav"), ask(true))
		b.Call("configState_create", "clientconfig.depot.protocol", "depot1.example.org", []any{"cifs"})
		b.Call("configState_create", "opsiclientd.event_timer.active", "depot1.example.org", true)
		b.Same("the depot's value", is(true, "cifs"), ask(true))
		b.Same("is not the client's own", map[string]any{}, ask(false))
		b.Call("configState_create", "clientconfig.depot.protocol", "pc1.example.org", "webdav")
		b.Same("the client's value", is(true, "webdav"), ask(true))
		b.Same("its own", map[string]any{"pc1.example.org": map[string]any{"clientconfig.depot.protocol": []any{"webdav"}}}, ask(false))
		all := b.Call("configState_getValues", "clientconfig.depot.protocol").(map[string]any)
		b.Same("nobody named: everybody", map[string]any{
			"pc1.example.org":    map[string]any{"clientconfig.depot.protocol": []any{"webdav"}},
			"depot1.example.org": map[string]any{"clientconfig.depot.protocol": []any{"cifs"}},
			"server.example.org": map[string]any{"clientconfig.depot.protocol": []any{"webdav"}},
		}, all)
	},
	"configState_getClientToDepotserver": func(b *bench.Bench) {
		b.Servers()
		ask := func(args ...any) any { return b.Call("configState_getClientToDepotserver", args...) }
		here := func(depot string, others ...any) any {
			if others == nil {
				others = []any{}
			}
			return []any{map[string]any{"clientId": "pc1.example.org", "depotId": depot, "alternativeDepotIds": others}}
		}
		b.Same("no parameter: the config server", here("server.example.org"), ask())
		b.Call("config_createUnicode", "clientconfig.depot.id", "", []any{}, []any{"depot1.example.org"})
		b.Same("the default", here("depot1.example.org"), ask([]any{}, []any{"pc1.example.org"}))
		b.Call("configState_create", "clientconfig.depot.id", "pc1.example.org", "server.example.org")
		b.Same("its own", here("server.example.org"), ask())
		b.Same("another depot's clients", []any{}, ask([]any{"depot1.example.org"}))
		b.Call("configState_create", "clientconfig.depot.id", "pc1.example.org", "gone.example.org")
		b.Same("a depot that is not there", here("server.example.org"), ask())

		b.Call("host_createOpsiDepotserver", "depot2.example.org")
		for _, depot := range []string{"server.example.org", "depot1.example.org", "depot2.example.org"} {
			b.Call("productOnDepot_create", "firefox", "LocalbootProduct", "115.0", "1", depot)
		}
		b.Call("productOnDepot_create", "runtime", "LocalbootProduct", "3", "1", "server.example.org")
		b.Call("productOnDepot_create", "runtime", "LocalbootProduct", "3", "1", "depot1.example.org")
		b.Call("productOnDepot_create", "runtime", "LocalbootProduct", "3", "2", "depot2.example.org")
		b.Same("only the client's own depot", here("server.example.org"), ask([]any{}, []any{}, true, []any{"firefox"}))
		b.Same("all that have the product", here("server.example.org", "depot1.example.org", "depot2.example.org"), ask([]any{}, []any{}, false, []any{"firefox"}))
		b.Same("all that have both", here("server.example.org", "depot1.example.org"), ask([]any{}, []any{}, false, []any{"firefox", "runtime"}))
		b.Same("all that have all", here("server.example.org", "depot1.example.org"), ask([]any{}, []any{}, false))
		b.Call("productOnDepot_create", "firefox", "LocalbootProduct", "115.0", "1", "depot1.example.org", true)
		b.Same("but none that changes one just now", here("server.example.org", "depot2.example.org"), ask([]any{}, []any{}, false, []any{"firefox"}))
		b.Same("a product that nobody has", here("server.example.org"), ask([]any{}, []any{}, false, []any{"nothing"}))
	},
	"getDepotId": func(b *bench.Bench) {
		b.Servers()
		b.Call("config_createUnicode", "clientconfig.depot.id", "", []any{}, []any{"depot1.example.org"})
		b.Same("of the client", "depot1.example.org", b.Call("getDepotId", "pc1.example.org"))
		b.Same("of nobody", "server.example.org", b.Call("getDepotId"))
	},
	"productPropertyState_getValues": func(b *bench.Bench) {
		b.Servers()
		b.Product("firefox", "115.0", "1")
		b.Product("runtime", "3", "1")
		b.Call("productProperty_createUnicode", "firefox", "115.0", "1", "language", "", []any{"de", "en", "fr"}, []any{"de"})
		b.Call("productProperty_createUnicode", "firefox", "114.0", "1", "language", "", []any{"xx"}, []any{"xx"}) // no depot has it
		ask := func(defaults bool) any {
			return b.Call("productPropertyState_getValues", []any{"firefox"}, nil, []any{"pc1.example.org"}, defaults)
		}
		is := func(v string) any {
			return map[string]any{"pc1.example.org": map[string]any{"firefox": map[string]any{"language": []any{v}}}}
		}
		b.Same("default", is("de"), ask(true))
		b.Call("productPropertyState_create", "firefox", "language", "server.example.org", "en")
		b.Same("the depot's", is("en"), ask(true))
		b.Same("not its own", map[string]any{}, ask(false))
		b.Call("productPropertyState_create", "firefox", "language", "pc1.example.org", "fr")
		b.Same("the client's", is("fr"), ask(true))
		b.Same("its own", is("fr"), ask(false))
		all := b.Call("productPropertyState_getValues").(map[string]any)
		b.Same("the depot's own", map[string]any{"firefox": map[string]any{"language": []any{"en"}}}, all["server.example.org"])
	},
}

// sequenceCases show the order of actions.
var sequenceCases = bench.Cases{
	"productOnClient_getObjectsWithSequence": func(b *bench.Bench) {
		b.ClientWithAction()
		b.Call("productOnClient_create", "unrelated", "LocalbootProduct", "pc1.example.org", "installed", "none")
		got := func(attributes []any) []any {
			var out []any
			for _, r := range b.Rows("productOnClient_getObjectsWithSequence", bench.Params(attributes, map[string]any{"clientId": "pc1.example.org"})) {
				r := r.(map[string]any)
				out = append(out, r["productId"], r["actionRequest"], r["actionSequence"])
			}
			return out
		}
		b.Same("nothing is added", []any{"firefox", "setup", int64(0), "unrelated", "none", int64(-1)}, got([]any{}))
		b.Call("productOnClient_create", "runtime", "LocalbootProduct", "pc1.example.org", "not_installed", "setup")
		b.Same("order", []any{"runtime", "setup", int64(0), "firefox", "setup", int64(1), "unrelated", "none", int64(-1)}, got([]any{"actionRequest", "actionSequence"}))
		b.Same("not asked for the order", []any{"firefox", "setup", nil, "runtime", "setup", nil, "unrelated", "none", nil}, got([]any{"actionRequest"}))
	},
	"productOnClient_getActionGroups": func(b *bench.Bench) {
		b.ClientWithAction()
		b.Call("productOnClient_create", "unrelated", "LocalbootProduct", "pc1.example.org", "not_installed", "setup")
		b.Call("product_updateObject", fleet.Row{"type": "LocalbootProduct", "id": "unrelated", "productVersion": "1", "packageVersion": "1", "priority": 5})
		var got []any
		for _, g := range b.Call("productOnClient_getActionGroups", "pc1.example.org").([]any) {
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
		b.Same("groups", []any{
			int64(5), map[string]any{"unrelated": int64(5)}, "unrelated", "setup", int64(0), "ProductOnClient",
			int64(0), map[string]any{"runtime": int64(0), "firefox": int64(0)}, "runtime", "setup", int64(1), "ProductOnClient", "firefox", "setup", int64(2), "ProductOnClient",
			"firefox", "runtime",
		}, got)
		b.Same("nothing is written", int64(2), int64(len(b.Find(fleet.ProductsOnClients, nil))))
	},
	"getProductOrdering": func(b *bench.Bench) {
		b.ClientWithAction()
		b.Same("ordering", map[string]any{"not_sorted": []any{"firefox", "runtime", "unrelated"}, "sorted": []any{"runtime", "firefox", "unrelated"}},
			b.Call("getProductOrdering", "server.example.org"))
		b.Refused(fleet.Invalid, "getProductOrdering", "server.example.org", "algorithm2")
	},
}
