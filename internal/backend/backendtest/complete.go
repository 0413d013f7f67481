package backendtest

import "github.com/fernwerk/fernwerk/internal/fleet"

// untypedCases show the create methods that are told the type.
var untypedCases = map[string]func(*bench){
	"config_create": func(b *bench) {
		b.call("config_create", "a", "", []any{"x", "y"}, []any{"x"}, true, false)
		b.call("config_create", "b", "", nil, true, nil, nil, "BoolConfig")
		a, bool := b.config("a"), b.config("b")
		b.same("text", []any{"UnicodeConfig", []any{"x", "y"}, []any{"x"}, true, false}, []any{a["type"], a["possibleValues"], a["defaultValues"], a["editable"], a["multiValue"]})
		b.same("truth", []any{"BoolConfig", []any{true, false}, []any{true}, false, false}, []any{bool["type"], bool["possibleValues"], bool["defaultValues"], bool["editable"], bool["multiValue"]})
	},
	"productProperty_create": func(b *bench) {
		b.product("firefox", "115.0", "1")
		b.call("productProperty_create", "firefox", "115.0", "1", "icon", "BoolProductProperty", "an icon", nil, "false")
		b.call("productProperty_create", "firefox", "115.0", "1", "language", nil, "", []any{"de", "en"}, "de")
		got := b.find(fleet.ProductProperties, nil)
		icon, language := got[0].(map[string]any), got[1].(map[string]any)
		b.same("truth", []any{"BoolProductProperty", "an icon", []any{true, false}, []any{false}}, []any{icon["type"], icon["description"], icon["possibleValues"], icon["defaultValues"]})
		b.same("text", []any{"UnicodeProductProperty", []any{"de", "en"}, []any{"de"}}, []any{language["type"], language["possibleValues"], language["defaultValues"]})
	},
}

func (b *bench) config(id string) map[string]any {
	b.Helper()
	got := b.find(fleet.Configs, map[string]any{"id": id})
	if len(got) != 1 {
		b.Fatalf("%d parameters %s", len(got), id)
	}
	return got[0].(map[string]any)
}

// completeRules are what opsi's classes make of incomplete and loose objects.
var completeRules = map[string]func(*bench){
	"complete/a switch is off unless it says otherwise": func(b *bench) {
		b.call("config_createBool", "s")
		b.same("default", []any{false}, b.config("s")["defaultValues"])
		for _, v := range []any{"true", 1, "on", []any{true}, []any{"1"}} {
			b.call("config_createBool", "s", "", v)
			b.same("loose", []any{true}, b.config("s")["defaultValues"])
		}
		b.refused(fleet.Invalid, "config_createBool", "s", "", "perhaps")
		b.refused(fleet.Invalid, "config_createBool", "s", "", []any{true, false})
		b.call("config_updateObject", fleet.Row{"id": "s", "type": "BoolConfig", "defaultValues": "false", "possibleValues": []any{"yes"}})
		b.same("changed", []any{[]any{false}, []any{true, false}}, []any{b.config("s")["defaultValues"], b.config("s")["possibleValues"]})
	},
	"complete/a switch's values are true or false": func(b *bench) {
		b.servers()
		b.call("config_createBool", "s")
		b.call("config_createUnicode", "t")
		b.call("configState_create", "s", "pc1.example.org", "true")
		b.call("configState_create", "t", "pc1.example.org", "true")
		b.same("values", []any{[]any{true}, []any{"true"}}, b.values(fleet.ConfigStates))
		b.call("configState_updateObjects", []any{fleet.Row{"configId": "s", "objectId": "pc1.example.org", "values": []any{0}}})
		b.same("changed", []any{[]any{false}, []any{"true"}}, b.values(fleet.ConfigStates))
		b.refused(fleet.Invalid, "configState_create", "s", "pc1.example.org", "perhaps")
		b.product("firefox", "115.0", "1")
		b.call("productProperty_createBool", "firefox", "115.0", "1", "icon")
		b.call("productPropertyState_create", "firefox", "icon", "pc1.example.org", "True")
		b.same("property", []any{[]any{true}}, b.values(fleet.ProductPropertyStates))
	},
	"complete/defaults are possible values": func(b *bench) {
		b.call("config_createUnicode", "a", "", nil, []any{"x", "y"})
		b.same("made of the defaults", []any{[]any{"x", "y"}, true}, []any{b.config("a")["possibleValues"], b.config("a")["multiValue"]})
		b.call("config_createUnicode", "a", "", []any{"x"}, "z", true)
		b.same("added", []any{"x", "z"}, b.config("a")["possibleValues"])
		b.refused(fleet.Invalid, "config_createUnicode", "a", "", []any{"x"}, []any{"y"}, false)
		b.call("config_updateObject", fleet.Row{"type": "UnicodeConfig", "id": "a", "defaultValues": []any{"new"}})
		b.same("added by a change", []any{[]any{"x", "z", "new"}, []any{"new"}}, []any{b.config("a")["possibleValues"], b.config("a")["defaultValues"]})
		b.call("config_updateObject", fleet.Row{"type": "UnicodeConfig", "id": "a", "description": "only this"})
		b.same("left alone", []any{[]any{"x", "z", "new"}, []any{"new"}, "only this"}, []any{b.config("a")["possibleValues"], b.config("a")["defaultValues"], b.config("a")["description"]})
	},
	"complete/priorities stay between -100 and 100": func(b *bench) {
		for _, tt := range []struct{ given, want int64 }{{-200, -100}, {-100, -100}, {0, 0}, {100, 100}, {1 << 40, 100}} {
			b.call("product_insertObject", fleet.Row{"type": "LocalbootProduct", "id": "p", "productVersion": "1", "packageVersion": "1", "priority": tt.given})
			b.same("priority", tt.want, b.find(fleet.Products, nil)[0].(map[string]any)["priority"])
		}
	},
	"complete/licences have the number of their kind": func(b *bench) {
		b.call("licenseContract_create", "c1")
		for _, tt := range []struct {
			method string
			want   int64
		}{{"Retail", 1}, {"OEM", 1}, {"Volume", 1}, {"Concurrent", 0}} {
			b.call("softwareLicense_create"+tt.method, "l", "c1")
			b.same(tt.method, tt.want, b.find(fleet.SoftwareLicenses, nil)[0].(map[string]any)["maxInstallations"])
			b.call("softwareLicense_delete", "l")
		}
		b.refused(fleet.Invalid, "softwareLicense_createVolume", "l", "c1", -1)
		b.refused(fleet.Invalid, "softwareLicense_createOEM", "l", "c1", 2)
		b.call("softwareLicense_createOEM", "l", "c1")
		b.refused(fleet.Invalid, "softwareLicense_updateObject", fleet.Row{"id": "l", "licenseContractId": "c1", "maxInstallations": 2})
	},
	"complete/a product that nobody touched": func(b *bench) {
		b.servers()
		b.call("productOnClient_create", "Firefox", "LocalbootProduct", "PC1.Example.org")
		got := b.find(fleet.ProductsOnClients, nil)[0].(map[string]any)
		b.same("defaults", []any{"firefox;LocalbootProduct;pc1.example.org", "not_installed", "none", nil, nil, int64(-1)},
			[]any{got["ident"], got["installationStatus"], got["actionRequest"], got["actionResult"], got["productVersion"], got["actionSequence"]})
	},
	"delete/null and [] stand for any": func(b *bench) {
		b.servers()
		b.product("firefox", "115.0", "1")
		b.product("runtime", "3", "1")
		for _, p := range []string{"firefox", "runtime"} {
			b.call("productOnClient_create", p, "LocalbootProduct", "pc1.example.org")
		}
		b.call("productOnDepot_delete", "runtime", "server.example.org")
		b.same("on the depot", int64(1), int64(len(b.find(fleet.ProductsOnDepots, nil))))
		b.call("productOnClient_delete", []any{}, "pc1.example.org")
		b.same("on the client", int64(0), int64(len(b.find(fleet.ProductsOnClients, nil))))
		b.putAll(fleet.Groups)
		b.call("group_delete", "Office")
		b.same("groups", int64(1), int64(len(b.find(fleet.Groups, nil))))
		b.putAll(fleet.AuditHardwares)
		if _, err := b.try("auditHardware_delete", params([]any{}, nil)); fleet.CodeOf(err) != fleet.Invalid {
			b.Errorf("all hardware would be deleted: %v", err)
		}
	},
}

// values are those of all objects of a class.
func (b *bench) values(c *fleet.Class) []any {
	b.Helper()
	var out []any
	for _, r := range b.find(c, nil) {
		out = append(out, r.(map[string]any)["values"])
	}
	return out
}
