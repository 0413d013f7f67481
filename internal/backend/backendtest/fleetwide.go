package backendtest

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sealed"
)

// several makes clients of which each stands differently to firefox: the first
// has it, the second has it in another version, the third failed, the fourth
// never had it. The fifth is served by a depot without it.
func (b *bench) several() {
	b.Helper()
	b.clients(5)
	b.product("firefox", "115.0", "1")
	b.product("runtime", "3", "1")
	b.call("productDependency_createObjects", Sample(fleet.ProductDependencies)[:1])
	poc := func(n int, status, result, version string) {
		b.call("productOnClient_create", "firefox", "LocalbootProduct", client(n), status, "none", "setup", nil, result, version, "1")
	}
	poc(1, "installed", "successful", "115.0")
	poc(2, "installed", "successful", "114.0")
	poc(3, "unknown", "failed", "115.0")
	poc(5, "installed", "successful", "114.0")
	b.call("config_createUnicode", "clientconfig.depot.id", "", nil, "server.example.org")
	b.call("configState_create", "clientconfig.depot.id", client(5), "depot1.example.org")
}

// requests are the requests for firefox, one letter a client.
func (b *bench) requests() string {
	b.Helper()
	out := []byte("-----")
	for _, r := range b.find(fleet.ProductsOnClients, map[string]any{"productId": "firefox"}) {
		r := r.(map[string]any)
		if v := r["actionRequest"].(string); v != "none" {
			out[r["clientId"].(string)[2]-'1'] = v[0]
		}
	}
	return string(out)
}

func (b *bench) shortcut(method string, args []any, answer []any, requests string) {
	b.Helper()
	b.several()
	b.same("answer", answer, b.call(method, args...))
	b.same("requests", requests, b.requests())
}

func clientIDs(ns ...int) []any {
	out := []any{}
	for _, n := range ns {
		out = append(out, client(n))
	}
	return out
}

// fleetwideCases show opsi's shortcuts for many clients at once.
var fleetwideCases = map[string]func(*bench){
	"getClientIDs": func(b *bench) { b.clients(3); b.same("ids", clientIDs(1, 2, 3), b.call("getClientIDs")) },
	"getClientsOnDepot": func(b *bench) {
		b.several()
		b.same("ids", clientIDs(5), b.call("getClientsOnDepot", []any{"depot1.example.org"}))
		b.same("ids", clientIDs(1, 2, 3, 4), b.call("getClientsOnDepot", "server.example.org"))
		b.refused(fleet.Invalid, "getClientsOnDepot", []any{})
	},
	"getClientsWithProducts": func(b *bench) {
		b.several()
		b.same("ids", clientIDs(1, 2, 3, 5), b.call("getClientsWithProducts", []any{"firefox", "other"}))
		b.same("installed", clientIDs(1, 2, 5), b.call("getClientsWithProducts", "firefox", "installed"))
		b.refused(fleet.Invalid, "getClientsWithProducts", []any{})
	},
	"getClientsWithActionRequest": func(b *bench) {
		b.several()
		b.call("setProductActionRequest", "firefox", client(4), "setup")
		b.same("ids", clientIDs(4), b.call("getClientsWithActionRequest", []any{"setup", "update"}))
	},
	"getClientsWithOutdatedProduct": func(b *bench) {
		b.several()
		b.same("ids", clientIDs(2), b.call("getClientsWithOutdatedProduct", "firefox"))
		b.refused(fleet.NotFound, "getClientsWithOutdatedProduct", "nothing")
	},
	"getSoftwareAuditDataCount": func(b *bench) {
		b.servers()
		b.putAll(fleet.AuditSoftwares)
		b.putAll(fleet.AuditSoftwareOnClients)
		b.same("objects", int64(4), b.call("getSoftwareAuditDataCount"))
	},
	"getHardwareAuditDataCount": func(b *bench) {
		b.servers()
		b.putAll(fleet.AuditHardwares)
		b.putAll(fleet.AuditHardwareOnHosts)
		b.same("objects", int64(4), b.call("getHardwareAuditDataCount"))
	},
	"setProductActionRequest": func(b *bench) {
		b.several()
		b.call("setProductActionRequest", "Firefox", client(4), "setup")
		b.same("requests", "---s-", b.requests())
		b.same("no dependency", int64(0), int64(len(b.find(fleet.ProductsOnClients, map[string]any{"productId": "runtime"}))))
		b.call("setProductActionRequest", "firefox", client(4), "none")
		b.same("taken back", "-----", b.requests())
		b.refused(fleet.NotFound, "setProductActionRequest", "firefox", "pc9.example.org", "setup")
		b.refused(fleet.NotFound, "setProductActionRequest", "firefox", client(5), "setup")
		b.refused(fleet.Invalid, "setProductActionRequest", "firefox", client(4), "fly")
	},
	"setupWhereInstalled":    func(b *bench) { b.shortcut("setupWhereInstalled", []any{"firefox"}, clientIDs(1, 2), "ss---") },
	"setupWhereNotInstalled": func(b *bench) { b.shortcut("setupWhereNotInstalled", []any{"firefox"}, clientIDs(3, 4), "--ss-") },
	"setupWhereFailed":       func(b *bench) { b.shortcut("setupWhereFailed", []any{"firefox"}, clientIDs(3), "--s--") },
	"updateWhereInstalled": func(b *bench) {
		b.shortcut("updateWhereInstalled", []any{"firefox"}, []any{}, "-----") // it has no update script
		b.call("product_updateObject", fleet.Row{"type": "LocalbootProduct", "id": "firefox", "productVersion": "115.0", "packageVersion": "1", "updateScript": "update.sh"})
		b.same("with a script", clientIDs(1, 2), b.call("updateWhereInstalled", "firefox"))
		b.same("requests", "uu---", b.requests())
	},
	"uninstallWhereInstalled": func(b *bench) {
		b.several()
		b.call("product_updateObject", fleet.Row{"type": "LocalbootProduct", "id": "firefox", "productVersion": "115.0", "packageVersion": "1", "uninstallScript": "remove.sh"})
		b.same("answer", clientIDs(1, 2), b.call("uninstallWhereInstalled", "firefox"))
		b.same("requests", "uu---", b.requests())
	},
	"setActionRequestWhereOutdated": func(b *bench) {
		b.shortcut("setActionRequestWhereOutdated", []any{"setup", "firefox"}, clientIDs(2), "-s---")
		b.same("no dependency", int64(0), int64(len(b.find(fleet.ProductsOnClients, map[string]any{"productId": "runtime"}))))
	},
	"setActionRequestWhereOutdatedWithDependencies": func(b *bench) {
		b.shortcut("setActionRequestWhereOutdatedWithDependencies", []any{"setup", "firefox"}, clientIDs(2), "-s---")
		b.same("the dependency", int64(1), int64(len(b.find(fleet.ProductsOnClients, map[string]any{"productId": "runtime", "actionRequest": "setup"}))))
	},
	"setProductActionRequestForHostGroup": func(b *bench) {
		b.grouped()
		b.call("setProductActionRequestForHostGroup", "Office", "firefox", "setup")
		b.same("requests", "s--s-", b.requests())
		b.refused(fleet.NotFound, "setProductActionRequestForHostGroup", "office", "firefox", "setup")
		b.call("group_createHostGroup", "nobody")
		b.call("setProductActionRequestForHostGroup", "nobody", "firefox", "none")
		b.same("a group without members is not all", "s--s-", b.requests())
	},
	"setProductActionRequestForProductGroup": func(b *bench) {
		b.grouped()
		b.call("setProductActionRequestForProductGroup", "Office", "basics", "setup")
		b.same("requests", "s--s-", b.requests())
		b.same("of both products", int64(4), int64(len(b.find(fleet.ProductsOnClients, map[string]any{"actionRequest": "setup"}))))
	},
	"setProductPropertyForHostGroup": func(b *bench) {
		b.grouped()
		b.call("setProductPropertyForHostGroup", "firefox", "language", "en", "Office")
		b.same("values", []any{[]any{"en"}, []any{"en"}}, b.values(fleet.ProductPropertyStates))
	},
	"groupname_exists": func(b *bench) {
		b.putAll(fleet.Groups)
		b.same("", []any{true, true, false}, []any{b.call("groupname_exists", "Office"), b.call("groupname_exists", "basics"), b.call("groupname_exists", "office")})
	},
	"group_rename": func(b *bench) {
		b.grouped()
		b.call("group_createHostGroup", "rooms", "", "", "Office")
		b.call("group_rename", "Office", "Branch")
		var groups, parents []any
		for _, g := range b.find(fleet.Groups, map[string]any{"type": "HostGroup"}) {
			groups, parents = append(groups, g.(map[string]any)["id"]), append(parents, g.(map[string]any)["parentGroupId"])
		}
		b.same("groups", []any{[]any{"Branch", "rooms"}, []any{nil, "Branch"}}, []any{groups, parents})
		b.same("members", int64(2), int64(len(b.find(fleet.Memberships, map[string]any{"groupId": "Branch"}))))
		b.same("members left", int64(0), int64(len(b.find(fleet.Memberships, map[string]any{"groupId": "Office"}))))
		b.refused(fleet.NotFound, "group_rename", "Office", "x")
		b.refused(fleet.Exists, "group_rename", "rooms", "Branch")
	},
	"getKioskProductInfosForClient": func(b *bench) {
		b.grouped()
		ask := func(n int, args ...any) any {
			return b.call("getKioskProductInfosForClient", append([]any{client(n)}, args...)...)
		}
		b.same("no group is offered", []any{}, ask(4))
		b.call("config_createUnicode", "software-on-demand.product-group-ids", "", nil, "other, basics")
		offers := ask(4).([]any)
		b.same("offers", int64(2), int64(len(offers)))
		firefox := offers[0].(map[string]any)
		b.same("firefox", []any{"firefox", "115.0-1", "", "setup", true, false}, []any{firefox["productId"], firefox["versionStr"], firefox["installedVerStr"],
			firefox["possibleAction"], firefox["hasSetup"], firefox["updatePossible"]})
		b.same("needs", []any{map[string]any{"requiredProductId": "runtime", "required": "", "preRequired": "installed", "postRequired": ""}}, firefox["requirements"])
		b.same("an old one", true, ask(2).([]any)[0].(map[string]any)["updatePossible"])
		b.same("not on its depot", []any{}, ask(5))
		b.same("with configs", map[string]any{"software-on-demand.product-group-ids": []any{"other, basics"}}, ask(4, true).(map[string]any)["configStates"])
		b.refused(fleet.NotFound, "getKioskProductInfosForClient", "pc9.example.org")
	},
}

func (b *bench) grouped() {
	b.Helper()
	b.several()
	b.call("group_createHostGroup", "Office")
	b.call("objectToGroup_create", "HostGroup", "Office", client(1))
	b.call("objectToGroup_create", "HostGroup", "Office", client(4))
	b.call("group_createProductGroup", "basics")
	b.call("objectToGroup_create", "ProductGroup", "basics", "firefox")
	b.call("objectToGroup_create", "ProductGroup", "basics", "runtime")
}

// credentialCases show the file share's passwords.
var credentialCases = map[string]func(*bench){
	"user_setCredentials": credentials,
	"user_getCredentials": credentials,
}

func credentials(b *bench) {
	b.servers()
	b.call("user_setCredentials", "PCpatch", "first")
	b.call("user_setCredentials", "pcpatch", "linux123")
	b.same("in clear", map[string]any{"password": "linux123", "rsaPrivateKey": ""}, b.call("user_getCredentials", "pcpatch"))
	b.same("the usual user", map[string]any{"password": "linux123", "rsaPrivateKey": ""}, b.call("user_getCredentials"))
	sealedFor := b.call("user_getCredentials", "pcpatch", "PC1.example.org").(map[string]any)["password"].(string)
	b.same("sealed", "2b856a86cff89bef", sealedFor)
	if got, err := sealed.Open("0123456789abcdef0123456789abcdef", sealedFor); err != nil || got != "linux123" {
		b.Errorf("%q, %v", got, err)
	}
	b.call("user_setCredentials", "share", "other")
	b.call("config_createUnicode", "clientconfig.depot.user", "", nil, `EXAMPLE\share`)
	b.same("the parameter's user", "other", b.call("user_getCredentials").(map[string]any)["password"])
	b.refused(fleet.NotFound, "user_getCredentials", "nobody")
	b.refused(fleet.NotFound, "user_getCredentials", "pcpatch", "pc9.example.org")
	for _, bad := range []string{"", `a"b`, "a\nb"} {
		b.refused(fleet.Invalid, "user_setCredentials", "pcpatch", bad)
	}
	if rows := b.rows("journal_getEntries", methods.Params{}); len(rows) > 0 && rows[0].(map[string]any)["class"] == "sharePassword" {
		b.Error("a password is in the history")
	}
}
