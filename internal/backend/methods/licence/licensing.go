package licence

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// modules are the parts of the system that opsi sells and whose names clients
// and tools ask for before they use them. Here none has a price: all of them
// are available, to any number of clients, for ever.
var modules = []string{
	"directory-connector", "dynamic_depot", "install_by_shutdown", "license_management", "linux_agent", "local_imaging",
	"macos_agent", "monitoring", "mysql_backend", "os_install_by_wlan", "roaming_profiles", "scalability1", "secureboot",
	"swondemand", "treeview", "uefi", "userroles", "vista", "vpn", "win-vhd", "wim-capture",
}

// manyClients is the number that stands for no limit.
const manyClients = 999_999_999

// agents are the products of opsi's client agents; who has one runs that system.
var agents = map[string]string{
	"opsi-client-agent": "windows", "opsi-linux-client-agent": "linux", "opsi-mac-client-agent": "macos",
}

func licensingMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "backend_getLicensingInfo", Roles: methods.Everyone, Do: licensingInfo,
			Doc: "Which modules may be used: all of them. With the number of clients that the caller sees.",
			Params: []methods.Param{{Name: "licenses", Optional: true}, {Name: "legacy_modules", Optional: true},
				{Name: "dates", Optional: true}, {Name: "allow_cache", Optional: true}},
		},
	}
}

func licensingInfo(c *methods.Call) (any, error) {
	numbers := map[string]any{"all": int64(0), "windows": int64(0), "linux": int64(0), "macos": int64(0)}
	err := c.View(func(tx *store.Tx) error {
		clients, err := c.SelectVisible(tx, fleet.Hosts, fleet.Filter{"type": fleet.OpsiClient})
		if err != nil {
			return err
		}
		numbers["all"] = int64(len(clients))
		ids := make([]string, 0, len(agents))
		for id := range agents {
			ids = append(ids, id)
		}
		installed, err := c.SelectVisible(tx, fleet.ProductsOnClients, fleet.Filter{"productId": ids, "installationStatus": fleet.Installed})
		for _, r := range installed {
			system := agents[r.Str("productId")]
			numbers[system] = numbers[system].(int64) + 1
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	names, all := make([]any, len(modules)), map[string]any{}
	for i, name := range modules {
		names[i] = name
		all[name] = map[string]any{"available": true, "state": "unlimited", "license_ids": []any{}, "client_number": int64(manyClients)}
	}
	info := map[string]any{
		"client_numbers": numbers, "known_modules": names, "obsolete_modules": []any{}, "available_modules": names, "modules": all,
	}
	if c.Flag("licenses", false) {
		info["licenses"] = []any{} // none is needed
	}
	if c.Flag("legacy_modules", false) {
		legacy := map[string]any{"valid": true}
		for _, name := range modules {
			legacy[name] = true
		}
		info["legacy_modules"] = legacy
	}
	if c.Flag("dates", false) {
		info["dates"] = map[string]any{} // nothing runs out
	}
	return info, nil
}
