package methods_test

import (
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// inBoth is a host in OpenVPN and in the mesh, and one that left the mesh.
type inBoth struct{ present }

func (inBoth) Facts(*store.Tx) ([]node.Fact, error) {
	return []node.Fact{{HostID: own, Tunnel: "vpns", Up: true}, {HostID: own, Tunnel: mesh.Tunnel, Up: true}, {HostID: others, Tunnel: mesh.Tunnel}}, nil
}

// In each tunnel it is said how others are reached; nobody is put out of the mesh
// by a word that changes nothing.
func TestTunnels_Mesh(t *testing.T) {
	b := newBench(t)
	ways := func(*store.Tx) ([]mesh.Way, error) {
		return []mesh.Way{{HostID: own, Path: "relayed"}, {HostID: own, Path: "direct"}, {HostID: others, Path: "direct"}, {HostID: own, Path: "direct"}}, nil
	}
	service := catalog.New(b.s, methods.Ports{Nodes: inBoth{}, Tunnels: inBoth{}, Mesh: ways})
	admin := methods.Actor{Role: methods.Administrator, ID: "admin"}
	v, err := service.Call(t.Context(), admin, "tunnel_getObjects", methods.Params{})
	if err != nil {
		t.Fatal(err)
	}
	var got []any
	for _, r := range v.([]any) {
		got = append(got, r.(map[string]any)["path"])
	}
	if len(got) != 3 || got[0] != "through the server" || got[1] != "2 direct, 1 relayed" || got[2] != "" {
		t.Errorf("paths: %v", got)
	}
	_, err = service.Call(t.Context(), admin, "tunnel_disconnect", methods.Pos(own, mesh.Tunnel))
	if fleet.CodeOf(err) != fleet.Conflict || fleet.HintOf(err) == "" {
		t.Errorf("put out of the mesh: %v, hint %q", err, fleet.HintOf(err))
	}
}
