package backendtest

import "github.com/fernwerk/fernwerk/internal/fleet"

var dependencyCases = map[string]func(*bench){
	"productOnClient_generateSequence": func(b *bench) {
		b.clientWithAction()
		given := []fleet.Row{given("unrelated", "none"), given("firefox", "setup"), given("runtime", "setup")}
		b.same("order", []any{"runtime", int64(0), "firefox", int64(1), "unrelated", int64(-1)},
			b.sequence("productOnClient_generateSequence", "actionSequence", given))
		b.same("nothing is added", []any{"firefox", int64(0)}, b.sequence("productOnClient_generateSequence", "actionSequence", given[1:2]))
		b.same("nothing is written", int64(1), int64(len(b.find(fleet.ProductsOnClients, nil))))
		b.call("productDependency_create", "runtime", "3", "1", "setup", "firefox", nil, nil, "setup", nil, "before")
		b.refused(fleet.Conflict, "productOnClient_generateSequence", given)
	},
	"productOnClient_addDependencies": func(b *bench) {
		b.clientWithAction()
		firefox := []fleet.Row{given("firefox", "setup")}
		added := func() any { return b.sequence("productOnClient_addDependencies", "actionRequest", firefox) }
		b.same("added", []any{"runtime", "setup", "firefox", "setup"}, added())
		b.same("nothing is written", int64(1), int64(len(b.find(fleet.ProductsOnClients, nil))))
		b.call("productOnClient_create", "runtime", "LocalbootProduct", client(1), "installed", "none")
		b.same("it is there", []any{"firefox", "setup"}, added())
		b.call("productOnClient_create", "unrelated", "LocalbootProduct", client(1), "not_installed", "setup")
		b.same("a request that was not given has no part", []any{"firefox", "setup"}, added())
	},
	"productOnClient_updateObjectsWithDependencies": func(b *bench) {
		b.clientWithAction()
		b.call("productOnClient_deleteObjects", b.find(fleet.ProductsOnClients, nil))
		b.call("productOnClient_create", "firefox", "LocalbootProduct", client(1), "installed", "none", nil, nil, nil, "114.0", "1")
		b.same("answered", []any{"runtime", "setup", "firefox", "setup"},
			b.sequence("productOnClient_updateObjectsWithDependencies", "actionRequest", []fleet.Row{given("firefox", "setup")}))
		var got []any
		for _, r := range b.find(fleet.ProductsOnClients, nil) {
			r := r.(map[string]any)
			got = append(got, r["productId"], r["actionRequest"], r["installationStatus"], r["productVersion"])
		}
		b.same("written", []any{"firefox", "setup", "installed", "114.0", "runtime", "setup", "not_installed", nil}, got)
	},
}

func given(product, action string) fleet.Row {
	return fleet.Row{"type": "ProductOnClient", "ident": product, "productId": product, "productType": "LocalbootProduct", "clientId": client(1), "actionRequest": action}
}

// sequence lists the products that a method answers, each with one attribute.
func (b *bench) sequence(method, attribute string, given []fleet.Row) any {
	b.Helper()
	out := []any{}
	for _, r := range b.call(method, given).([]any) {
		r := r.(map[string]any)
		out = append(out, r["productId"], r[attribute])
	}
	return out
}
