package command

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
)

// The mesh stands among the tunnels, also while it is not up, and says why.
func TestTunnelStatus_Mesh(t *testing.T) {
	dir := joined(t)
	if got := call(t.Context(), "tunnel", "status", "--data", dir); got.out != "no tunnel\n" {
		t.Errorf("no tunnel: %+v", got)
	}
	put := func(text string, at ...string) {
		t.Helper()
		path := filepath.Join(append([]string{dir}, at...)...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"name":"vpns","state":"up","address":"10.134.7.38","device":"tun0","server":"203.0.113.1","since":"2026-11-29T18:04:57Z"}`, "tunnel", "vpns", "status.json")
	put(`{"state":"refused","problem":"its node type does not use the mesh","since":"2026-11-29T18:05:00Z"}`, "mesh", "standing.json")
	got := call(t.Context(), "tunnel", "status", "--data", dir)
	if want := "mesh: refused, since 2026-11-29T18:05:00Z: its node type does not use the mesh\n" +
		"vpns: up, 10.134.7.38 at tun0, through the server 203.0.113.1, since 2026-11-29T18:04:57Z\n"; got.out != want {
		t.Errorf("%+v", got)
	}
	var all map[string]struct{ State, Path, Address string }
	got = call(t.Context(), "tunnel", "status", "--json", "--data", dir)
	if err := json.Unmarshal([]byte(got.out), &all); err != nil || all["vpns"].Path != "through the server" || all["vpns"].Address != "10.134.7.38" || all["mesh"].State != "refused" || all["mesh"].Path != "" {
		t.Errorf("for programs: %+v %v", got, err)
	}
	for args, hint := range map[string]string{"up": "mesh up", "down": "mesh down"} {
		if got := call(t.Context(), "tunnel", args, "mesh", "--data", dir); got.code == 0 || !strings.Contains(got.err, "fernwerk-agent "+hint) {
			t.Errorf("tunnel %s mesh: %+v", args, got)
		}
	}
}

func TestWriteTunnels_Peers(t *testing.T) {
	var out strings.Builder
	at := netip.MustParseAddr("10.134.7.39")
	one := tunnelState{Path: "1 direct, 1 relayed", Peers: []meshPeer{
		{Host: "pc2.a.b", Address: at, Path: "direct", Via: "192.168.1.12:4243", Why: "near"},
		{Host: "pc3\x1b[31m.a.b", Address: at.Next(), Path: "relayed", Via: "10.134.0.1", Why: "its router"},
	}}
	one.Status = tunnel.Status{State: "up", Address: "10.134.7.38", Device: "fwmesh", Since: time.Date(2026, 11, 29, 18, 5, 0, 0, time.UTC)}
	if err := writeTunnels(&out, map[string]tunnelState{"mesh": one}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mesh: up, 10.134.7.38 at fwmesh, 1 direct, 1 relayed, since 2026-11-29T18:05:00Z\n", "direct   192.168.1.12:4243  near\n", "relayed  10.134.0.1         its router\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q: %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("another machine's name moves the terminal")
	}
}
