package licence

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/backendtest/bench"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

var licensingCases = bench.Cases{
	"backend_getLicensingInfo": func(b *bench.Bench) {
		before := licensing(b)
		numbers := func(of map[string]any) any { return of["client_numbers"] }
		b.Same("nobody", map[string]any{"all": int64(0), "windows": int64(0), "linux": int64(0), "macos": int64(0)}, numbers(before))
		b.Servers()
		b.Call("productOnClient_create", "opsi-linux-client-agent", "LocalbootProduct", "pc1.example.org", "installed")
		info := licensing(b)
		b.Same("one client", map[string]any{"all": int64(1), "windows": int64(0), "linux": int64(1), "macos": int64(0)}, numbers(info))
		available := info["available_modules"].([]any)
		for _, name := range info["known_modules"].([]any) {
			if module := info["modules"].(map[string]any)[name.(string)].(map[string]any); !slices.Contains(available, name) || module["available"] != true {
				b.Errorf("module %v is not available", name)
			}
		}
		// What opsi's clients ask before they use the caches, and choose a depot.
		for _, name := range []string{"vpn", "dynamic_depot", "linux_agent", "license_management", "userroles"} {
			if !slices.Contains(available, any(name)) {
				b.Errorf("module %s is not available", name)
			}
		}
		for _, name := range []string{"licenses", "legacy_modules", "dates"} {
			if info[name] != nil {
				b.Errorf("%s was not asked for", name)
			}
		}
		whole := licensing(b, true, true, true, false)
		b.Same("asked for", []any{[]any{}, true, map[string]any{}},
			[]any{whole["licenses"], whole["legacy_modules"].(map[string]any)["vpn"], whole["dates"]})
	},
}

func licensing(b *bench.Bench, args ...any) map[string]any {
	b.Helper()
	v, err := b.Try("backend_getLicensingInfo", methods.Pos(args...))
	if err != nil {
		b.Fatal(err)
	}
	return bench.Plain(v).(map[string]any)
}
