package depots

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var depotCases = bench.Cases{
	"accessControl_getCaller": func(b *bench.Bench) {
		who := b.Call("accessControl_getCaller").(map[string]any)
		if who["id"] == "" || who["role"] != "administrator" {
			b.Errorf("the caller is %v", who)
		}
	},
	"getDepotSelectionAlgorithm": func(b *bench.Bench) {
		text := func() string { return b.Call("getDepotSelectionAlgorithm").(string) }
		if t := text(); !strings.HasPrefix(t, "MODE = \"network_address\"\n") || !strings.Contains(t, "def selectDepot(clientConfig, masterDepot, alternativeDepots=[]):") {
			b.Errorf("without the parameter: %.200s", t)
		}
		b.Call("config_createUnicode", "clientconfig.depot.selection_mode", "", []any{}, []any{"latency"})
		b.Same("the mode is the parameter's", true, strings.HasPrefix(text(), "MODE = \"latency\"\n"))
		b.Call("config_updateObjects", []fleet.Row{{"type": "UnicodeConfig", "id": "clientconfig.depot.selection_mode", "defaultValues": []any{"x\"; import os"}}})
		b.Same("and no text of anybody's", true, strings.HasPrefix(text(), "MODE = \"network_address\"\n"))
	},
	"depotTree_getStates": installCase,
	"depotTree_begin":     installCase,
	"depotTree_announce":  installCase,
	"depotTree_commit":    installCase,
	"depotTree_drop":      installCase,
	"depotTree_undo":      installCase,

	"depot_getCertificate": func(b *bench.Bench) {
		b.Servers()
		_, err := b.Try("depot_getCertificate", methods.Pos("depot1.example.org", "no request"))
		if code := fleet.CodeOf(err); code != fleet.Invalid && code != fleet.NotHere { // an agent is no authority
			b.Errorf("%v", err)
		}
		if fleet.CodeOf(err) == fleet.NotHere {
			return
		}
		b.Refused(fleet.NotFound, "depot_getCertificate", "depot9.example.org", "no request")
		b.Refused(fleet.NotFound, "depot_getCertificate", "server.example.org", "no request")
		b.Call("host_updateObjects", []fleet.Row{{"type": "OpsiDepotserver", "id": "depot1.example.org", "depotWebdavUrl": "webdavs://server.example.org:4447/depot"}})
		b.Refused(fleet.Denied, "depot_getCertificate", "depot1.example.org", "no request")
	},

	// What is in a depot's folders is not the business of the rows: see
	// server/depot/repository, whose tests call these over the same table.
	"depot_installPackage":           depotServerCase("depot_installPackage", "none_1-1.opsi"),
	"depot_uninstallPackage":         depotServerCase("depot_uninstallPackage", "none"),
	"depot_createPackageContentFile": depotServerCase("depot_createPackageContentFile", "none"),
	"depot_getMD5Sum":                depotServerCase("depot_getMD5Sum", "none_1-1.opsi"),
	"depot_createMd5SumFile":         depotServerCase("depot_createMd5SumFile", "none_1-1.opsi", "none_1-1.opsi.md5"),
	"depot_getDiskSpaceUsage":        depotServerCase("depot_getDiskSpaceUsage", "/nowhere"),
}

// depotServerCase asks for what no depot has: where there is a depot it is not
// found, elsewhere the method is not here.
func depotServerCase(method string, args ...any) func(*bench.Bench) {
	return func(b *bench.Bench) {
		_, err := b.Try(method, methods.Pos(args...))
		if code := fleet.CodeOf(err); code != fleet.NotFound && code != fleet.NotHere {
			b.Errorf("%v", err)
		}
	}
}

// installCase takes a product through the changes of a depot.
func installCase(b *bench.Bench) {
	b.Servers()
	const depot = "depot1.example.org"
	intent := map[string]any{"depotId": depot, "product": "editor", "staging": "editor-1", "digest": strings.Repeat("ab", 32)}
	states := func() (trees, intents int) {
		m := b.Call("depotTree_getStates", depot).(map[string]any)
		return count(m["trees"]), count(m["intents"])
	}
	is := func(what string, trees, intents int) {
		b.Helper()
		gotTrees, gotIntents := states()
		b.Same(what, []int{trees, intents}, []int{gotTrees, gotIntents})
	}
	locked := func() (list []any) {
		for _, r := range b.Rows("productOnDepot_getObjects", methods.Params{}) {
			m := r.(map[string]any)
			list = append(list, m["productVersion"], m["locked"])
		}
		return list
	}
	change := func(version string) map[string]any {
		of := func(more fleet.Row) fleet.Row {
			r := fleet.Row{"productId": "editor", "productVersion": version, "packageVersion": "1"}
			for k, v := range more {
				r[k] = v
			}
			return r
		}
		return map[string]any{
			"tree":       map[string]any{"depotId": depot, "product": "editor", "productVersion": version, "packageVersion": "1", "digest": strings.Repeat("ab", 32), "files": int64(3), "bytes": int64(1) << 40},
			"product":    fleet.Row{"type": "LocalbootProduct", "id": "editor", "productVersion": version, "packageVersion": "1", "name": "Editor"},
			"properties": []any{of(fleet.Row{"type": "UnicodeProductProperty", "propertyId": "language", "possibleValues": []any{"de", "en"}, "defaultValues": []any{"de"}})},
			"values":     map[string]any{"language": []any{"en"}},
		}
	}
	is("nothing yet", 0, 0)
	b.Refused(fleet.Conflict, "depotTree_begin", intent, false, []any{[]any{"runtime", ">=", "3"}})
	b.Refused(fleet.Conflict, "depotTree_commit", intent, change("1.0"))
	begun := b.Call("depotTree_begin", intent)
	is("begun", 0, 1)
	b.Refused(fleet.Locked, "depotTree_begin", intent, true)
	b.Call("depotTree_announce", begun)
	b.Refused(fleet.Conflict, "depotTree_announce", map[string]any{"depotId": depot, "product": "editor", "staging": "another"})
	wrong := change("1.0")
	wrong["product"].(fleet.Row)["id"] = "other"
	b.Refused(fleet.Invalid, "depotTree_commit", begun, wrong)
	b.Same("replaces nothing", "", b.Call("depotTree_commit", begun, change("1.0")))
	is("committed", 1, 0)
	b.Same("on the depot", []any{"1.0", false}, locked())
	b.Same("the depot's value", []any{"en"}, b.Rows("productPropertyState_getObjects", methods.Params{})[0].(map[string]any)["values"])
	b.Refused(fleet.Conflict, "depotTree_undo", begun)

	begun = b.Call("depotTree_begin", intent)
	b.Same("locked meanwhile", []any{"1.0", true}, locked())
	b.Call("depotTree_undo", begun)
	b.Same("as it was", []any{"1.0", false}, locked())
	is("undone", 1, 0)
	begun = b.Call("depotTree_begin", intent)
	b.Same("replaced", "1.0-1", b.Call("depotTree_commit", begun, change("2.0")))
	b.Same("one version", []any{"2.0", false}, locked())
	b.Same("and one product", 1, len(b.Rows("product_getObjects", methods.Params{})))

	b.Call("productOnDepot_updateObjects", []fleet.Row{{"productId": "editor", "productType": "LocalbootProduct", "productVersion": "2.0", "packageVersion": "1", "depotId": depot, "locked": true}})
	b.Refused(fleet.Locked, "depotTree_begin", intent)
	begun = b.Call("depotTree_begin", intent, true)
	b.Call("depotTree_drop", begun)
	is("dropped", 0, 0)
	b.Same("not on the depot", 0, len(locked()))
	b.Same("no value is left", 0, len(b.Rows("productPropertyState_getObjects", methods.Params{})))
}

func count(v any) int {
	switch v := v.(type) {
	case []any:
		return len(v)
	case []fleet.Row:
		return len(v)
	}
	return 0
}
