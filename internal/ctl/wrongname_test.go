package ctl

import (
	"strings"
	"testing"
)

// Who names what is not there is told so, and nothing is done.
func TestWrongNames(t *testing.T) {
	server := answers{
		"tunnel_getObjects":  []any{map[string]any{"hostId": "pc1.x.y", "tunnel": "vpns", "up": true}, map[string]any{"hostId": "pc1.x.y", "tunnel": "old", "up": false}},
		"tunnel_disconnect":  nil,
		"token_create":       map[string]any{"token": "fw1.x"},
		"nodeType_getIdents": []any{},
	}
	for line, want := range map[string]string{
		"tunnel disconnect pc1.x.y --tunnel vpn --yes": "error: cannot disconnect pc1.x.y: it is not in tunnel vpn\nhint: fernwerk tunnel list shows who is where\n",
		"tunnel disconnect pc1.x.y --tunnel old --yes": "error: cannot disconnect pc1.x.y: it is not in tunnel old\nhint: fernwerk tunnel list shows who is where\n",
	} {
		if got := runWith(t, server, strings.Fields(line)...); got.exit != 1 || got.err != want || got.out != "" {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if got := runWith(t, server, "tunnel", "disconnect", "pc1.x.y", "--tunnel", "vpns", "--yes"); got.exit != 0 || got.out != "disconnected pc1.x.y from vpns\n" {
		t.Errorf("%+v", got)
	}
	if got := runWith(t, server, "token", "create", "--node-type", "vnod", "--print", "token"); !strings.Contains(got.err, "no node type vnod") {
		t.Errorf("%+v", got)
	}
}
