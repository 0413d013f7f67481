package hosts

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sealed"
)

// several makes clients of which each stands differently to firefox: the first
// has it, the second has it in another version, the third failed, the fourth
// never had it. The fifth is served by a depot without it.
func several(b *bench.Bench) {
	b.Helper()
	b.Clients(5)
	b.Product("firefox", "115.0", "1")
	b.Product("runtime", "3", "1")
	b.Call("productDependency_createObjects", bench.Sample(fleet.ProductDependencies)[:1])
	poc := func(n int, status, result, version string) {
		b.Call("productOnClient_create", "firefox", "LocalbootProduct", bench.Client(n), status, "none", "setup", nil, result, version, "1")
	}
	poc(1, "installed", "successful", "115.0")
	poc(2, "installed", "successful", "114.0")
	poc(3, "unknown", "failed", "115.0")
	poc(5, "installed", "successful", "114.0")
	b.Call("config_createUnicode", "clientconfig.depot.id", "", nil, "server.example.org")
	b.Call("configState_create", "clientconfig.depot.id", bench.Client(5), "depot1.example.org")
}

// requested are the requests for firefox, one letter a client.
func requested(b *bench.Bench) string {
	b.Helper()
	out := []byte("-----")
	for _, r := range b.Find(fleet.ProductsOnClients, map[string]any{"productId": "firefox"}) {
		r := r.(map[string]any)
		if v := r["actionRequest"].(string); v != "none" {
			out[r["clientId"].(string)[2]-'1'] = v[0]
		}
	}
	return string(out)
}

func shortcut(b *bench.Bench, method string, args []any, answer []any, requests string) {
	b.Helper()
	several(b)
	b.Same("answer", answer, b.Call(method, args...))
	b.Same("requests", requests, requested(b))
}

func clientIDs(ns ...int) []any {
	out := []any{}
	for _, n := range ns {
		out = append(out, bench.Client(n))
	}
	return out
}

// fleetwideCases show opsi's shortcuts for many clients at once.
var fleetwideCases = bench.Cases{
	"getClientIDs": func(b *bench.Bench) { b.Clients(3); b.Same("ids", clientIDs(1, 2, 3), b.Call("getClientIDs")) },
	"getClientsOnDepot": func(b *bench.Bench) {
		several(b)
		b.Same("ids", clientIDs(5), b.Call("getClientsOnDepot", []any{"depot1.example.org"}))
		b.Same("ids", clientIDs(1, 2, 3, 4), b.Call("getClientsOnDepot", "server.example.org"))
		b.Refused(fleet.Invalid, "getClientsOnDepot", []any{})
	},
	"getClientsWithProducts": func(b *bench.Bench) {
		several(b)
		b.Same("ids", clientIDs(1, 2, 3, 5), b.Call("getClientsWithProducts", []any{"firefox", "other"}))
		b.Same("installed", clientIDs(1, 2, 5), b.Call("getClientsWithProducts", "firefox", "installed"))
		b.Refused(fleet.Invalid, "getClientsWithProducts", []any{})
	},
	"getClientsWithActionRequest": func(b *bench.Bench) {
		several(b)
		b.Call("setProductActionRequest", "firefox", bench.Client(4), "setup")
		b.Same("ids", clientIDs(4), b.Call("getClientsWithActionRequest", []any{"setup", "update"}))
	},
	"getClientsWithOutdatedProduct": func(b *bench.Bench) {
		several(b)
		b.Same("ids", clientIDs(2), b.Call("getClientsWithOutdatedProduct", "firefox"))
		b.Refused(fleet.NotFound, "getClientsWithOutdatedProduct", "nothing")
	},
	"getSoftwareAuditDataCount": func(b *bench.Bench) {
		b.Servers()
		b.PutAll(fleet.AuditSoftwares)
		b.PutAll(fleet.AuditSoftwareOnClients)
		b.Same("objects", int64(4), b.Call("getSoftwareAuditDataCount"))
	},
	"getHardwareAuditDataCount": func(b *bench.Bench) {
		b.Servers()
		b.PutAll(fleet.AuditHardwares)
		b.PutAll(fleet.AuditHardwareOnHosts)
		b.Same("objects", int64(4), b.Call("getHardwareAuditDataCount"))
	},
	"setProductActionRequest": func(b *bench.Bench) {
		several(b)
		b.Call("setProductActionRequest", "Firefox", bench.Client(4), "setup")
		b.Same("requests", "---s-", requested(b))
		b.Same("no dependency", int64(0), int64(len(b.Find(fleet.ProductsOnClients, map[string]any{"productId": "runtime"}))))
		b.Call("setProductActionRequest", "firefox", bench.Client(4), "none")
		b.Same("taken back", "-----", requested(b))
		b.Refused(fleet.NotFound, "setProductActionRequest", "firefox", "pc9.example.org", "setup")
		b.Refused(fleet.NotFound, "setProductActionRequest", "firefox", bench.Client(5), "setup")
		b.Refused(fleet.Invalid, "setProductActionRequest", "firefox", bench.Client(4), "fly")
	},
	"setupWhereInstalled": func(b *bench.Bench) { shortcut(b, "setupWhereInstalled", []any{"firefox"}, clientIDs(1, 2), "ss---") },
	"setupWhereNotInstalled": func(b *bench.Bench) {
		shortcut(b, "setupWhereNotInstalled", []any{"firefox"}, clientIDs(3, 4), "--ss-")
	},
	"setupWhereFailed": func(b *bench.Bench) { shortcut(b, "setupWhereFailed", []any{"firefox"}, clientIDs(3), "--s--") },
	"updateWhereInstalled": func(b *bench.Bench) {
		shortcut(b, "updateWhereInstalled", []any{"firefox"}, []any{}, "-----") // it has no update script
		b.Call("product_updateObject", fleet.Row{"type": "LocalbootProduct", "id": "firefox", "productVersion": "115.0", "packageVersion": "1", "updateScript": "update.sh"})
		b.Same("with a script", clientIDs(1, 2), b.Call("updateWhereInstalled", "firefox"))
		b.Same("requests", "uu---", requested(b))
	},
	"uninstallWhereInstalled": func(b *bench.Bench) {
		several(b)
		b.Call("product_updateObject", fleet.Row{"type": "LocalbootProduct", "id": "firefox", "productVersion": "115.0", "packageVersion": "1", "uninstallScript": "remove.sh"})
		b.Same("answer", clientIDs(1, 2), b.Call("uninstallWhereInstalled", "firefox"))
		b.Same("requests", "uu---", requested(b))
	},
	"setActionRequestWhereOutdated": func(b *bench.Bench) {
		shortcut(b, "setActionRequestWhereOutdated", []any{"setup", "firefox"}, clientIDs(2), "-s---")
		b.Same("no dependency", int64(0), int64(len(b.Find(fleet.ProductsOnClients, map[string]any{"productId": "runtime"}))))
	},
	"setActionRequestWhereOutdatedWithDependencies": func(b *bench.Bench) {
		shortcut(b, "setActionRequestWhereOutdatedWithDependencies", []any{"setup", "firefox"}, clientIDs(2), "-s---")
		b.Same("the dependency", int64(1), int64(len(b.Find(fleet.ProductsOnClients, map[string]any{"productId": "runtime", "actionRequest": "setup"}))))
	},
	"setProductActionRequestForHostGroup": func(b *bench.Bench) {
		grouped(b)
		b.Call("setProductActionRequestForHostGroup", "Office", "firefox", "setup")
		b.Same("requests", "s--s-", requested(b))
		b.Refused(fleet.NotFound, "setProductActionRequestForHostGroup", "office", "firefox", "setup")
		b.Call("group_createHostGroup", "nobody")
		b.Call("setProductActionRequestForHostGroup", "nobody", "firefox", "none")
		b.Same("a group without members is not all", "s--s-", requested(b))
	},
	"setProductActionRequestForProductGroup": func(b *bench.Bench) {
		grouped(b)
		b.Call("setProductActionRequestForProductGroup", "Office", "basics", "setup")
		b.Same("requests", "s--s-", requested(b))
		b.Same("of both products", int64(4), int64(len(b.Find(fleet.ProductsOnClients, map[string]any{"actionRequest": "setup"}))))
	},
	"setProductPropertyForHostGroup": func(b *bench.Bench) {
		grouped(b)
		b.Call("setProductPropertyForHostGroup", "firefox", "language", "en", "Office")
		b.Same("values", []any{[]any{"en"}, []any{"en"}}, b.Values(fleet.ProductPropertyStates))
	},
	"groupname_exists": func(b *bench.Bench) {
		b.PutAll(fleet.Groups)
		b.Same("", []any{true, true, false}, []any{b.Call("groupname_exists", "Office"), b.Call("groupname_exists", "basics"), b.Call("groupname_exists", "office")})
	},
	"group_rename": func(b *bench.Bench) {
		grouped(b)
		b.Call("group_createHostGroup", "rooms", "", "", "Office")
		b.Call("group_rename", "Office", "Branch")
		var groups, parents []any
		for _, g := range b.Find(fleet.Groups, map[string]any{"type": "HostGroup"}) {
			groups, parents = append(groups, g.(map[string]any)["id"]), append(parents, g.(map[string]any)["parentGroupId"])
		}
		b.Same("groups", []any{[]any{"Branch", "rooms"}, []any{nil, "Branch"}}, []any{groups, parents})
		b.Same("members", int64(2), int64(len(b.Find(fleet.Memberships, map[string]any{"groupId": "Branch"}))))
		b.Same("members left", int64(0), int64(len(b.Find(fleet.Memberships, map[string]any{"groupId": "Office"}))))
		b.Refused(fleet.NotFound, "group_rename", "Office", "x")
		b.Refused(fleet.Exists, "group_rename", "rooms", "Branch")
	},
	"getKioskProductInfosForClient": func(b *bench.Bench) {
		grouped(b)
		ask := func(n int, args ...any) any {
			return b.Call("getKioskProductInfosForClient", append([]any{bench.Client(n)}, args...)...)
		}
		b.Same("no group is offered", []any{}, ask(4))
		b.Call("config_createUnicode", "software-on-demand.product-group-ids", "", nil, "other, basics")
		offers := ask(4).([]any)
		b.Same("offers", int64(2), int64(len(offers)))
		firefox := offers[0].(map[string]any)
		b.Same("firefox", []any{"firefox", "115.0-1", "", "setup", true, false}, []any{firefox["productId"], firefox["versionStr"], firefox["installedVerStr"],
			firefox["possibleAction"], firefox["hasSetup"], firefox["updatePossible"]})
		b.Same("needs", []any{map[string]any{"requiredProductId": "runtime", "required": "", "preRequired": "installed", "postRequired": ""}}, firefox["requirements"])
		b.Same("an old one", true, ask(2).([]any)[0].(map[string]any)["updatePossible"])
		b.Same("not on its depot", []any{}, ask(5))
		b.Same("with configs", map[string]any{"software-on-demand.product-group-ids": []any{"other, basics"}}, ask(4, true).(map[string]any)["configStates"])
		b.Refused(fleet.NotFound, "getKioskProductInfosForClient", "pc9.example.org")
	},
}

func grouped(b *bench.Bench) {
	b.Helper()
	several(b)
	b.Call("group_createHostGroup", "Office")
	b.Call("objectToGroup_create", "HostGroup", "Office", bench.Client(1))
	b.Call("objectToGroup_create", "HostGroup", "Office", bench.Client(4))
	b.Call("group_createProductGroup", "basics")
	b.Call("objectToGroup_create", "ProductGroup", "basics", "firefox")
	b.Call("objectToGroup_create", "ProductGroup", "basics", "runtime")
}

// credentialCases show the file share's passwords.
var credentialCases = bench.Cases{
	"user_setCredentials": credentials,
	"user_getCredentials": credentials,
}

func credentials(b *bench.Bench) {
	b.Servers()
	b.Call("user_setCredentials", "PCpatch", "first")
	b.Call("user_setCredentials", "pcpatch", "linux123")
	b.Same("in clear", map[string]any{"password": "linux123", "rsaPrivateKey": ""}, b.Call("user_getCredentials", "pcpatch"))
	b.Same("the usual user", map[string]any{"password": "linux123", "rsaPrivateKey": ""}, b.Call("user_getCredentials"))
	sealedFor := b.Call("user_getCredentials", "pcpatch", "PC1.example.org").(map[string]any)["password"].(string)
	b.Same("sealed", "2b856a86cff89bef", sealedFor)
	if got, err := sealed.Open("0123456789abcdef0123456789abcdef", sealedFor); err != nil || got != "linux123" {
		b.Errorf("%q, %v", got, err)
	}
	b.Call("user_setCredentials", "share", "other")
	b.Call("config_createUnicode", "clientconfig.depot.user", "", nil, `EXAMPLE\share`)
	b.Same("the parameter's user", "other", b.Call("user_getCredentials").(map[string]any)["password"])
	b.Refused(fleet.NotFound, "user_getCredentials", "nobody")
	b.Refused(fleet.NotFound, "user_getCredentials", "pcpatch", "pc9.example.org")
	for _, bad := range []string{"", `a"b`, "a\nb"} {
		b.Refused(fleet.Invalid, "user_setCredentials", "pcpatch", bad)
	}
	if rows := b.Rows("journal_getEntries", methods.Params{}); len(rows) > 0 && rows[0].(map[string]any)["class"] == "sharePassword" {
		b.Error("a password is in the history")
	}
}
