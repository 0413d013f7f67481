package ctl

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// The mesh is a tunnel beside OpenVPN: who is in it, and how others are reached there.
func TestTunnels_Mesh(t *testing.T) {
	const one, two = "pc1.a.b", "pc2.a.b"
	session := func(host, tunnel, path string) map[string]any {
		return map[string]any{"hostId": host, "tunnel": tunnel, "up": true, "path": path, "address": "10.134.7.38", "since": "2026-11-29T18:04:57Z", "here": tunnel != "mesh", "received": int64(35430), "sent": int64(33920)}
	}
	vpn, mesh := session(one, "vpns", "through the server"), session(one, "mesh", "1 direct, 1 relayed")
	server := answers{
		"tunnel_getObjects":              []any{vpn, mesh},
		`tunnel_getObjects[["pc2.a.b"]]`: []any{session(two, "mesh", "1 direct")},
		`mesh_getPaths[["pc1.a.b"]]`: []any{
			map[string]any{"hostId": one, "peer": two, "peerAddress": "10.134.7.39", "path": "direct", "via": "192.168.1.12:4243", "why": "its address is in a network of this machine"},
			map[string]any{"hostId": one, "peer": "pc3.a.b", "peerAddress": "10.134.7.40", "path": "relayed", "via": "10.134.0.1", "why": "its router lets nothing in"},
		},
		`tunnel_disconnect["pc1.a.b","vpns"]`: nil,
		"tunnel_disconnect":                   fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot put pc2.a.b out of the mesh"), "fernwerk host revoke"),
	}
	list := runWith(t, server, "tunnel", "list")
	for _, want := range []string{"pc1.a.b vpns up 10.134.7.38 through the server 2026-11-29T18:04:57Z 35430", "pc1.a.b mesh up 10.134.7.38 1 direct, 1 relayed 2026"} {
		if !strings.Contains(strings.Join(strings.Fields(list.out), " "), want) {
			t.Errorf("the list lacks %q: %+v", want, list)
		}
	}
	if strings.Count(list.out, "35430") != 1 {
		t.Errorf("bytes of the mesh: %s", list.out)
	}
	show := runWith(t, server, "tunnel", "show", one)
	for _, want := range []string{"through the server", "1 direct, 1 relayed", "direct   192.168.1.12:4243  its address is in a network of this machine", "relayed  10.134.0.1         its router"} {
		if !strings.Contains(show.out, want) {
			t.Errorf("it does not show %q: %s%s", want, show.out, show.err)
		}
	}
	var rows []struct {
		Tunnel string
		Peers  []struct{ Peer, Path, Via, Why string }
	}
	if got := runWith(t, server, "tunnel", "show", one, "--json"); json.Unmarshal([]byte(got.out), &rows) != nil || len(rows) != 2 || rows[0].Peers != nil || len(rows[1].Peers) != 2 || rows[1].Peers[1].Via != "10.134.0.1" {
		t.Errorf("for programs: %+v", got)
	}
	for args, want := range map[string]string{
		"pc1.a.b --yes":               "disconnected pc1.a.b from vpns\n", // and not from the mesh
		"pc2.a.b --yes":               "cannot put pc2.a.b out of the mesh",
		"pc1.a.b --tunnel mesh --yes": "fernwerk host revoke",
	} {
		if got := runWith(t, server, append([]string{"tunnel", "disconnect"}, strings.Fields(args)...)...); !strings.Contains(got.out+got.err, want) || (got.exit == 0) != strings.HasPrefix(want, "disconnected") {
			t.Errorf("disconnect %s: %+v", args, got)
		}
	}
}
