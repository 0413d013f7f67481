package backendtest

import "github.com/fernwerk/fernwerk/internal/fleet"

var selectionCases = map[string]func(*bench){
	"host_select": func(b *bench) {
		b.clients(3)
		b.call("host_createOpsiDepotserver", "depot1.example.org")
		b.call("host_updateObject", map[string]any{"type": "OpsiClient", "id": client(1), "description": "Reception", "lastSeen": "2020-01-01 00:00:00"})
		b.call("host_updateObject", map[string]any{"type": "OpsiClient", "id": client(2), "lastSeen": "2999-01-01 00:00:00"})
		b.call("group_createHostGroup", "country")
		b.call("group_createHostGroup", "branch", "", "", "country")
		b.call("objectToGroup_create", "HostGroup", "branch", client(2))
		b.call("objectToGroup_create", "ProductGroup", "country", client(3)) // a product of that name
		b.call("config_createUnicode", "clientconfig.depot.id")
		b.call("configState_create", "clientconfig.depot.id", client(3), "depot1.example.org")
		b.call("config_createUnicode", "color", "", []any{"red", "blue"}, []any{"red"})
		b.call("configState_create", "color", client(1), "blue")
		b.call("changeWANConfig", true, client(3))
		onClient := func(n int, product, status, version, request, result string) {
			b.call("productOnClient_createObjects", map[string]any{"productId": product, "productType": "LocalbootProduct", "clientId": client(n),
				"installationStatus": status, "productVersion": version, "packageVersion": "1", "actionRequest": request, "actionResult": result})
		}
		onClient(1, "firefox", "installed", "99.0", "none", "successful")
		onClient(2, "firefox", "installed", "128.0", "none", "successful")
		onClient(2, "vlc", "not_installed", "", "setup", "failed")
		b.call("auditSoftware_create", "Firefox ESR", "128", "", "", "x64")
		b.call("auditSoftwareOnClient_create", "Firefox ESR", "128", "", "", "x64", client(3))
		for where, want := range map[string][]any{
			"id = '*'":                                    {client(1), client(2), client(3)},
			"id = depot1.example.org":                     {},
			"description = recep*":                        {client(1)},
			"last-seen = never":                           {client(3)},
			"last-seen < 30d":                             {client(2)},
			"last-seen > 30d":                             {client(1)},
			"created < 1h":                                {client(1), client(2), client(3)},
			"group = branch":                              {client(2)},
			"group = country":                             {client(2)},
			"depot = depot1.example.org":                  {client(3)},
			"param:color = blue or param:color = green":   {client(1)},
			"param:color = red":                           {client(2), client(3)},
			"wan = on":                                    {client(3)},
			"installed = firefox and not requested = vlc": {client(1)},
			"failed = vlc":                                {client(2)},
			"product:firefox.version < 128.0":             {client(1)},
			"product:firefox.status = installed":          {client(1), client(2)},
			"product:vlc.request = setup":                 {client(2)},
			"product:vlc.result in (failed, none)":        {client(2)},
			"product:vlc.version = ''":                    {client(1), client(2), client(3)},
			"software = firefox*":                         {client(3)},
		} {
			b.same(where, want, b.call("host_select", where))
		}
		b.refused(fleet.Invalid, "host_select", "groop = branch")
		b.refused(fleet.Invalid, "host_select", "")
	},
}
