package depots

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var dependencyCases = bench.Cases{
	"productOnClient_generateSequence": func(b *bench.Bench) {
		b.ClientWithAction()
		given := []fleet.Row{given("unrelated", "none"), given("firefox", "setup"), given("runtime", "setup")}
		b.Same("order", []any{"runtime", int64(0), "firefox", int64(1), "unrelated", int64(-1)},
			sequence(b, "productOnClient_generateSequence", "actionSequence", given))
		b.Same("nothing is added", []any{"firefox", int64(0)}, sequence(b, "productOnClient_generateSequence", "actionSequence", given[1:2]))
		b.Same("nothing is written", int64(1), int64(len(b.Find(fleet.ProductsOnClients, nil))))
		b.Call("productDependency_create", "runtime", "3", "1", "setup", "firefox", nil, nil, "setup", nil, "before")
		b.Refused(fleet.Conflict, "productOnClient_generateSequence", given)
	},
	"productOnClient_addDependencies": func(b *bench.Bench) {
		b.ClientWithAction()
		firefox := []fleet.Row{given("firefox", "setup")}
		added := func() any { return sequence(b, "productOnClient_addDependencies", "actionRequest", firefox) }
		b.Same("added", []any{"runtime", "setup", "firefox", "setup"}, added())
		b.Same("nothing is written", int64(1), int64(len(b.Find(fleet.ProductsOnClients, nil))))
		b.Call("productOnClient_create", "runtime", "LocalbootProduct", bench.Client(1), "installed", "none")
		b.Same("it is there", []any{"firefox", "setup"}, added())
		b.Call("productOnClient_create", "unrelated", "LocalbootProduct", bench.Client(1), "not_installed", "setup")
		b.Same("a request that was not given has no part", []any{"firefox", "setup"}, added())
	},
	"productOnClient_updateObjectsWithDependencies": func(b *bench.Bench) {
		b.ClientWithAction()
		b.Call("productOnClient_deleteObjects", b.Find(fleet.ProductsOnClients, nil))
		b.Call("productOnClient_create", "firefox", "LocalbootProduct", bench.Client(1), "installed", "none", nil, nil, nil, "114.0", "1")
		b.Same("answered", []any{"runtime", "setup", "firefox", "setup"},
			sequence(b, "productOnClient_updateObjectsWithDependencies", "actionRequest", []fleet.Row{given("firefox", "setup")}))
		var got []any
		for _, r := range b.Find(fleet.ProductsOnClients, nil) {
			r := r.(map[string]any)
			got = append(got, r["productId"], r["actionRequest"], r["installationStatus"], r["productVersion"])
		}
		b.Same("written", []any{"firefox", "setup", "installed", "114.0", "runtime", "setup", "not_installed", nil}, got)
	},
}

func given(product, action string) fleet.Row {
	return fleet.Row{"type": "ProductOnClient", "ident": product, "productId": product, "productType": "LocalbootProduct", "clientId": bench.Client(1), "actionRequest": action}
}

// sequence lists the products that a method answers, each with one attribute.
func sequence(b *bench.Bench, method, attribute string, given []fleet.Row) any {
	b.Helper()
	out := []any{}
	for _, r := range b.Call(method, given).([]any) {
		r := r.(map[string]any)
		out = append(out, r["productId"], r[attribute])
	}
	return out
}
