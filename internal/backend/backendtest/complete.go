package backendtest

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// untypedCases show the create methods that are told the type.
var untypedCases = bench.Cases{
	"config_create": func(b *bench.Bench) {
		b.Call("config_create", "a", "", []any{"x", "y"}, []any{"x"}, true, false)
		b.Call("config_create", "b", "", nil, true, nil, nil, "BoolConfig")
		a, bool := config(b, "a"), config(b, "b")
		b.Same("text", []any{"UnicodeConfig", []any{"x", "y"}, []any{"x"}, true, false}, []any{a["type"], a["possibleValues"], a["defaultValues"], a["editable"], a["multiValue"]})
		b.Same("truth", []any{"BoolConfig", []any{true, false}, []any{true}, false, false}, []any{bool["type"], bool["possibleValues"], bool["defaultValues"], bool["editable"], bool["multiValue"]})
	},
	"productProperty_create": func(b *bench.Bench) {
		b.Product("firefox", "115.0", "1")
		b.Call("productProperty_create", "firefox", "115.0", "1", "icon", "BoolProductProperty", "an icon", nil, "false")
		b.Call("productProperty_create", "firefox", "115.0", "1", "language", nil, "", []any{"de", "en"}, "de")
		got := b.Find(fleet.ProductProperties, nil)
		icon, language := got[0].(map[string]any), got[1].(map[string]any)
		b.Same("truth", []any{"BoolProductProperty", "an icon", []any{true, false}, []any{false}}, []any{icon["type"], icon["description"], icon["possibleValues"], icon["defaultValues"]})
		b.Same("text", []any{"UnicodeProductProperty", []any{"de", "en"}, []any{"de"}}, []any{language["type"], language["possibleValues"], language["defaultValues"]})
	},
}

func config(b *bench.Bench, id string) map[string]any {
	b.Helper()
	got := b.Find(fleet.Configs, map[string]any{"id": id})
	if len(got) != 1 {
		b.Fatalf("%d parameters %s", len(got), id)
	}
	return got[0].(map[string]any)
}

// completeRules are what opsi's classes make of incomplete and loose objects.
var completeRules = bench.Cases{
	"complete/a switch is off unless it says otherwise": func(b *bench.Bench) {
		b.Call("config_createBool", "s")
		b.Same("default", []any{false}, config(b, "s")["defaultValues"])
		for _, v := range []any{"true", 1, "on", []any{true}, []any{"1"}} {
			b.Call("config_createBool", "s", "", v)
			b.Same("loose", []any{true}, config(b, "s")["defaultValues"])
		}
		b.Refused(fleet.Invalid, "config_createBool", "s", "", "perhaps")
		b.Refused(fleet.Invalid, "config_createBool", "s", "", []any{true, false})
		b.Call("config_updateObject", fleet.Row{"id": "s", "type": "BoolConfig", "defaultValues": "false", "possibleValues": []any{"yes"}})
		b.Same("changed", []any{[]any{false}, []any{true, false}}, []any{config(b, "s")["defaultValues"], config(b, "s")["possibleValues"]})
	},
	"complete/a switch's values are true or false": func(b *bench.Bench) {
		b.Servers()
		b.Call("config_createBool", "s")
		b.Call("config_createUnicode", "t")
		b.Call("configState_create", "s", "pc1.example.org", "true")
		b.Call("configState_create", "t", "pc1.example.org", "true")
		b.Same("values", []any{[]any{true}, []any{"true"}}, b.Values(fleet.ConfigStates))
		b.Call("configState_updateObjects", []any{fleet.Row{"configId": "s", "objectId": "pc1.example.org", "values": []any{0}}})
		b.Same("changed", []any{[]any{false}, []any{"true"}}, b.Values(fleet.ConfigStates))
		b.Refused(fleet.Invalid, "configState_create", "s", "pc1.example.org", "perhaps")
		b.Product("firefox", "115.0", "1")
		b.Call("productProperty_createBool", "firefox", "115.0", "1", "icon")
		b.Call("productPropertyState_create", "firefox", "icon", "pc1.example.org", "True")
		b.Same("property", []any{[]any{true}}, b.Values(fleet.ProductPropertyStates))
	},
	"complete/defaults are possible values": func(b *bench.Bench) {
		b.Call("config_createUnicode", "a", "", nil, []any{"x", "y"})
		b.Same("made of the defaults", []any{[]any{"x", "y"}, true}, []any{config(b, "a")["possibleValues"], config(b, "a")["multiValue"]})
		b.Call("config_createUnicode", "a", "", []any{"x"}, "z", true)
		b.Same("added", []any{"x", "z"}, config(b, "a")["possibleValues"])
		b.Refused(fleet.Invalid, "config_createUnicode", "a", "", []any{"x"}, []any{"y"}, false)
		b.Call("config_updateObject", fleet.Row{"type": "UnicodeConfig", "id": "a", "defaultValues": []any{"new"}})
		b.Same("added by a change", []any{[]any{"x", "z", "new"}, []any{"new"}}, []any{config(b, "a")["possibleValues"], config(b, "a")["defaultValues"]})
		b.Call("config_updateObject", fleet.Row{"type": "UnicodeConfig", "id": "a", "description": "only this"})
		b.Same("left alone", []any{[]any{"x", "z", "new"}, []any{"new"}, "only this"}, []any{config(b, "a")["possibleValues"], config(b, "a")["defaultValues"], config(b, "a")["description"]})
	},
	"complete/priorities stay between -100 and 100": func(b *bench.Bench) {
		for _, tt := range []struct{ given, want int64 }{{-200, -100}, {-100, -100}, {0, 0}, {100, 100}, {1 << 40, 100}} {
			b.Call("product_insertObject", fleet.Row{"type": "LocalbootProduct", "id": "p", "productVersion": "1", "packageVersion": "1", "priority": tt.given})
			b.Same("priority", tt.want, b.Find(fleet.Products, nil)[0].(map[string]any)["priority"])
		}
	},
	"complete/licences have the number of their kind": func(b *bench.Bench) {
		b.Call("licenseContract_create", "c1")
		for _, tt := range []struct {
			method string
			want   int64
		}{{"Retail", 1}, {"OEM", 1}, {"Volume", 1}, {"Concurrent", 0}} {
			b.Call("softwareLicense_create"+tt.method, "l", "c1")
			b.Same(tt.method, tt.want, b.Find(fleet.SoftwareLicenses, nil)[0].(map[string]any)["maxInstallations"])
			b.Call("softwareLicense_delete", "l")
		}
		b.Refused(fleet.Invalid, "softwareLicense_createVolume", "l", "c1", -1)
		b.Refused(fleet.Invalid, "softwareLicense_createOEM", "l", "c1", 2)
		b.Call("softwareLicense_createOEM", "l", "c1")
		b.Refused(fleet.Invalid, "softwareLicense_updateObject", fleet.Row{"id": "l", "licenseContractId": "c1", "maxInstallations": 2})
	},
	"complete/a product that nobody touched": func(b *bench.Bench) {
		b.Servers()
		b.Call("productOnClient_create", "Firefox", "LocalbootProduct", "PC1.Example.org")
		got := b.Find(fleet.ProductsOnClients, nil)[0].(map[string]any)
		b.Same("defaults", []any{"firefox;LocalbootProduct;pc1.example.org", "not_installed", "none", nil, nil, int64(-1)},
			[]any{got["ident"], got["installationStatus"], got["actionRequest"], got["actionResult"], got["productVersion"], got["actionSequence"]})
	},
	"delete/null and [] stand for any": func(b *bench.Bench) {
		b.Servers()
		b.Product("firefox", "115.0", "1")
		b.Product("runtime", "3", "1")
		for _, p := range []string{"firefox", "runtime"} {
			b.Call("productOnClient_create", p, "LocalbootProduct", "pc1.example.org")
		}
		b.Call("productOnDepot_delete", "runtime", "server.example.org")
		b.Same("on the depot", int64(1), int64(len(b.Find(fleet.ProductsOnDepots, nil))))
		b.Call("productOnClient_delete", []any{}, "pc1.example.org")
		b.Same("on the client", int64(0), int64(len(b.Find(fleet.ProductsOnClients, nil))))
		b.PutAll(fleet.Groups)
		b.Call("group_delete", "Office")
		b.Same("groups", int64(1), int64(len(b.Find(fleet.Groups, nil))))
		b.PutAll(fleet.AuditHardwares)
		if _, err := b.Try("auditHardware_delete", bench.Params([]any{}, nil)); fleet.CodeOf(err) != fleet.Invalid {
			b.Errorf("all hardware would be deleted: %v", err)
		}
	},
}
