package command

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/grid"
	"github.com/fernwerk/fernwerk/internal/agent/mesh"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func meshCommand(dataDir *string) *cobra.Command {
	c := group(&cobra.Command{Use: "mesh", Short: "Enter the mesh of nodes, leave it, look at it"})
	var asJSON bool
	status := &cobra.Command{
		Use: "status", Short: "Which nodes are reached directly, which by relay, and why", Args: arguments,
		Long: `Which nodes this machine talks to in the mesh: directly, or relayed by the server, and
why. A tunnel begins when two nodes have something to say, so a node without one is not
missed; "none" means only that. Ask as root: the mesh's folder is nobody else's.`,
		RunE: func(c *cobra.Command, _ []string) error {
			state, now, all, err := meshPeers(c.Context(), *dataDir)
			if state.Certificate == "" && err == nil {
				st, err := mesh.Stands(grid.MeshDir(*dataDir))
				if err == nil && st.Problem != "" {
					err = fleet.Errorf(fleet.NotFound, "this machine is in no mesh: it is %s: %s", st.State, st.Problem)
				} else if err == nil {
					err = fleet.Errorf(fleet.NotFound, "this machine is in no mesh")
				}
				return fleet.WithHint(err, "fernwerk-agent mesh up, and fernwerk node-type set TYPE --tunnel both at the server")
			}
			if err != nil {
				return fleet.Errorf(fleet.Unavailable, "%w", err)
			}
			out := c.OutOrStdout()
			if asJSON {
				return writeJSON(out, map[string]any{"address": state.Address, "groups": state.Groups, "notAfter": state.NotAfter, "since": now.Since, "pid": now.PID, "peers": all})
			}
			fmt.Fprintf(out, "%s in the mesh since %s, certificate until %s\n", state.Address, now.Since.UTC().Format(time.RFC3339), state.NotAfter.Format(time.RFC3339))
			return writePeers(out, "", all)
		},
	}
	status.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(meshUp(dataDir), meshDown(dataDir), status)
	return c
}
