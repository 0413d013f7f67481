package hosts

import (
	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

var selectionCases = bench.Cases{
	"host_select": func(b *bench.Bench) {
		b.Clients(3)
		b.Call("host_createOpsiDepotserver", "depot1.example.org")
		b.Call("host_updateObject", map[string]any{"type": "OpsiClient", "id": bench.Client(1), "description": "Reception", "lastSeen": "2020-01-01 00:00:00"})
		b.Call("host_updateObject", map[string]any{"type": "OpsiClient", "id": bench.Client(2), "lastSeen": "2999-01-01 00:00:00"})
		b.Call("group_createHostGroup", "country")
		b.Call("group_createHostGroup", "branch", "", "", "country")
		b.Call("objectToGroup_create", "HostGroup", "branch", bench.Client(2))
		b.Call("objectToGroup_create", "ProductGroup", "country", bench.Client(3)) // a product of that name
		b.Call("config_createUnicode", "clientconfig.depot.id")
		b.Call("configState_create", "clientconfig.depot.id", bench.Client(3), "depot1.example.org")
		b.Call("config_createUnicode", "color", "", []any{"red", "blue"}, []any{"red"})
		b.Call("configState_create", "color", bench.Client(1), "blue")
		b.Call("changeWANConfig", true, bench.Client(3))
		onClient := func(n int, product, status, version, request, result string) {
			b.Call("productOnClient_createObjects", map[string]any{"productId": product, "productType": "LocalbootProduct", "clientId": bench.Client(n),
				"installationStatus": status, "productVersion": version, "packageVersion": "1", "actionRequest": request, "actionResult": result})
		}
		onClient(1, "firefox", "installed", "99.0", "none", "successful")
		onClient(2, "firefox", "installed", "128.0", "none", "successful")
		onClient(2, "vlc", "not_installed", "", "setup", "failed")
		b.Call("auditSoftware_create", "Firefox ESR", "128", "", "", "x64")
		b.Call("auditSoftwareOnClient_create", "Firefox ESR", "128", "", "", "x64", bench.Client(3))
		for where, want := range map[string][]any{
			"id = '*'":                                    {bench.Client(1), bench.Client(2), bench.Client(3)},
			"id = depot1.example.org":                     {},
			"description = recep*":                        {bench.Client(1)},
			"last-seen = never":                           {bench.Client(3)},
			"last-seen < 30d":                             {bench.Client(2)},
			"last-seen > 30d":                             {bench.Client(1)},
			"created < 1h":                                {bench.Client(1), bench.Client(2), bench.Client(3)},
			"group = branch":                              {bench.Client(2)},
			"group = country":                             {bench.Client(2)},
			"depot = depot1.example.org":                  {bench.Client(3)},
			"param:color = blue or param:color = green":   {bench.Client(1)},
			"param:color = red":                           {bench.Client(2), bench.Client(3)},
			"wan = on":                                    {bench.Client(3)},
			"installed = firefox and not requested = vlc": {bench.Client(1)},
			"failed = vlc":                                {bench.Client(2)},
			"product:firefox.version < 128.0":             {bench.Client(1)},
			"product:firefox.status = installed":          {bench.Client(1), bench.Client(2)},
			"product:vlc.request = setup":                 {bench.Client(2)},
			"product:vlc.result in (failed, none)":        {bench.Client(2)},
			"product:vlc.version = ''":                    {bench.Client(1), bench.Client(2), bench.Client(3)},
			"software = firefox*":                         {bench.Client(3)},
		} {
			b.Same(where, want, b.Call("host_select", where))
		}
		b.Refused(fleet.Invalid, "host_select", "groop = branch")
		b.Refused(fleet.Invalid, "host_select", "")
	},
}
