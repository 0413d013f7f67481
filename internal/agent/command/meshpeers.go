package command

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/grid"
	"github.com/fernwerk/fernwerk/internal/agent/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// meshPeer is another node of the mesh, and the way to it.
type meshPeer struct {
	Host    string     `json:"host"`
	Address netip.Addr `json:"address"`
	Path    string     `json:"path"` // direct, relayed, beside or none
	Via     string     `json:"via"`
	Why     string     `json:"why"`
}

// meshDevice is the mesh's network interface here.
func meshDevice(dataDir string) string {
	if file, err := agent.LoadConf(dataDir); err == nil {
		if d, ok := file.Get("mesh", "device"); ok {
			return d.Value
		}
	}
	return "fwmesh"
}

// meshPeers asks the process that is the mesh: state and map say who there is.
func meshPeers(ctx context.Context, dataDir string) (state mesh.State, now nebula.Status, all []meshPeer, err error) {
	dir := grid.MeshDir(dataDir)
	state, network, err := mesh.Load(dir)
	if err != nil || state.Certificate == "" {
		return state, now, nil, err
	}
	if now, err = (&nebula.Control{Dir: dir}).Status(ctx); err != nil {
		return state, now, nil, err
	}
	lan := mesh.Networks(meshDevice(dataDir))
	all = []meshPeer{}
	seen := map[netip.Addr]bool{state.Address.Addr(): true}
	for _, p := range now.Peers {
		one := meshPeer{Host: p.Name, Path: "direct", Via: p.Via(), Why: p.Why(lan).Text()}
		if len(p.Address) > 0 {
			one.Address = p.Address[0]
			seen[one.Address] = true
		}
		if !p.Direct() {
			one.Path = "relayed"
		}
		all = append(all, one)
	}
	for _, n := range network.Nodes {
		if seen[n.Address] {
			continue
		}
		one := meshPeer{Host: n.HostID, Address: n.Address, Path: "none", Why: "nothing was said yet"}
		if slices.Contains(now.Away, n.Address) {
			one.Path, one.Via, one.Why = "beside", strings.Join(now.Beside, ", "), "it is not reached in the mesh now; another tunnel of the same network takes what is for it"
		}
		all = append(all, one)
	}
	return state, now, all, nil
}

// writePeers writes them as a table, each line after an indent.
func writePeers(out io.Writer, indent string, all []meshPeer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, indent+"HOST\tADDRESS\tPATH\tVIA\tWHY")
	for _, p := range all {
		fmt.Fprintf(w, "%s%s\t%v\t%s\t%s\t%s\n", indent, term.Clean(p.Host), p.Address, p.Path, p.Via, p.Why)
	}
	return w.Flush()
}
