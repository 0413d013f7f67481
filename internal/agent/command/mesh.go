package command

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/grid"
	"github.com/fernwerk/fernwerk/internal/agent/mesh"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

// meshPeer is a line of `mesh status`.
type meshPeer struct {
	Host    string     `json:"host"`
	Address netip.Addr `json:"address"`
	Path    string     `json:"path"` // direct, relayed, beside or none
	Via     string     `json:"via"`
	Why     string     `json:"why"`
}

func meshCommand(dataDir *string) *cobra.Command {
	c := group(&cobra.Command{Use: "mesh", Short: "Enter the mesh of nodes, leave it, look at it"})
	var asJSON bool
	status := &cobra.Command{
		Use: "status", Short: "Which nodes are reached directly, which by relay, and why", Args: arguments,
		Long: `Which nodes this machine talks to in the mesh: directly, or relayed by the server, and
why. A tunnel begins when two nodes have something to say, so a node without one is not
missed; "none" means only that. Ask as root: the mesh's folder is nobody else's.`,
		RunE: func(c *cobra.Command, _ []string) error {
			dir := grid.MeshDir(*dataDir)
			state, network, err := mesh.Load(dir)
			if err != nil {
				return err
			}
			if state.Certificate == "" {
				st, err := mesh.Stands(dir)
				if err == nil && st.Problem != "" {
					err = fleet.Errorf(fleet.NotFound, "this machine is in no mesh: it is %s: %s", st.State, st.Problem)
				} else if err == nil {
					err = fleet.Errorf(fleet.NotFound, "this machine is in no mesh")
				}
				return fleet.WithHint(err, "fernwerk-agent mesh up, and fernwerk node-type set TYPE --tunnel both at the server")
			}
			now, err := (&nebula.Control{Dir: dir}).Status(c.Context())
			if err != nil {
				return fleet.Errorf(fleet.Unavailable, "%w", err)
			}
			device := "fwmesh"
			if file, err := agent.LoadConf(*dataDir); err == nil {
				if d, ok := file.Get("mesh", "device"); ok {
					device = d.Value
				}
			}
			lan := mesh.Networks(device)
			all := []meshPeer{}
			seen := map[netip.Addr]bool{state.Address.Addr(): true}
			for _, p := range now.Peers {
				one := meshPeer{Host: p.Name, Path: "direct", Via: p.Remote.String(), Why: p.Why(lan).Text()}
				if len(p.Address) > 0 {
					one.Address = p.Address[0]
					seen[one.Address] = true
				}
				if !p.Direct() {
					one.Path, one.Via = "relayed", ""
					if len(p.Relays) > 0 {
						one.Via = p.Relays[0].String()
					}
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
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(map[string]any{"address": state.Address, "groups": state.Groups, "notAfter": state.NotAfter, "since": now.Since, "pid": now.PID, "peers": all})
			}
			fmt.Fprintf(c.OutOrStdout(), "%s in the mesh since %s, certificate until %s\n", state.Address, now.Since.UTC().Format(time.RFC3339), state.NotAfter.Format(time.RFC3339))
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "HOST\tADDRESS\tPATH\tVIA\tWHY")
			for _, p := range all {
				fmt.Fprintf(w, "%s\t%v\t%s\t%s\t%s\n", p.Host, p.Address, p.Path, p.Via, p.Why)
			}
			return w.Flush()
		},
	}
	status.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(meshUp(dataDir), meshDown(dataDir), status)
	return c
}
