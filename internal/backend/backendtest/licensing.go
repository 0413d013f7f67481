package backendtest

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

var licensingCases = map[string]func(*bench){
	"backend_getLicensingInfo": func(b *bench) {
		before := b.licensing()
		numbers := func(of map[string]any) any { return of["client_numbers"] }
		b.same("nobody", map[string]any{"all": int64(0), "windows": int64(0), "linux": int64(0), "macos": int64(0)}, numbers(before))
		b.servers()
		b.call("productOnClient_create", "opsi-linux-client-agent", "LocalbootProduct", "pc1.example.org", "installed")
		info := b.licensing()
		b.same("one client", map[string]any{"all": int64(1), "windows": int64(0), "linux": int64(1), "macos": int64(0)}, numbers(info))
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
		whole := b.licensing(true, true, true, false)
		b.same("asked for", []any{[]any{}, true, map[string]any{}},
			[]any{whole["licenses"], whole["legacy_modules"].(map[string]any)["vpn"], whole["dates"]})
	},
}

func (b *bench) licensing(args ...any) map[string]any {
	b.Helper()
	v, err := b.try("backend_getLicensingInfo", methods.Pos(args...))
	if err != nil {
		b.Fatal(err)
	}
	return plain(v).(map[string]any)
}
