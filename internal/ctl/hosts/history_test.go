package hosts

import "testing"

func TestInWords(t *testing.T) {
	for want, r := range map[string]map[string]any{
		"insert":                               {"operation": "insert", "after": map[string]any{"id": "pc1.example.org", "notes": "x"}},
		"up: vpns 10.134.7.38 from 192.0.2.57": {"operation": "up", "after": map[string]any{"notes": "vpns 10.134.7.38 from 192.0.2.57"}},
		"tunnel: serial 30004087988f37c64e1d..., tunnel vpns": {"operation": "tunnel", "after": map[string]any{"tunnel": "vpns", "serial": "30004087988f37c64e1dcf2603ef59a3"}},
		"ssh key: fingerprint SHA256:u0AMxasfpUshb..., kind ssh-rsa": {"operation": "ssh key",
			"after": map[string]any{"fingerprint": "SHA256:u0AMxasfpUshbHYwaouLdnGfCYiGviw8r/iIOgmR/Ds", "former": "", "kind": "ssh-rsa"}},
		"disconnect":                   {"operation": "disconnect"},
		"description: (none) -> Lab 3": {"operation": "update", "before": map[string]any{"description": ""}, "after": map[string]any{"description": "Lab 3", "modificationTime": "now"}},
	} {
		if got := inWords(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
