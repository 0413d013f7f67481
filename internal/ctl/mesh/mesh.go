// Package mesh is the mesh of nodes, as an administrator looks at it.
package mesh

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Command is mesh.
func Command(t *tool.Tool) *cobra.Command {
	c := &cobra.Command{Use: "mesh", Short: "The mesh: which nodes reach each other directly, and who signs for them"}
	c.AddCommand(listCommand(t), authorityCommand(t), rotateCommand(t))
	return c
}

func listCommand(t *tool.Tool) *cobra.Command {
	var relayed bool
	c := &cobra.Command{
		Use: "list [TEXT]", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List how nodes reach each other, and why",
		Long: `List how nodes in the mesh reach each other: directly, or relayed by the server, and
why; or those with TEXT in their name or address. It is what the nodes told at their
last question. Two that have nothing to say to each other have no path; on the
machine itself, fernwerk-agent mesh status says it as it is now.`,
		Example: "  fernwerk mesh list client7\n  fernwerk mesh list --relayed",
		RunE: func(c *cobra.Command, given []string) error {
			rows, err := t.Rows(c.Context(), "mesh_getPaths")
			if err != nil {
				return err
			}
			var out []fleet.Row
			for _, r := range rows {
				fits := len(given) == 0
				for _, of := range []string{"hostId", "peer", "address", "peerAddress"} {
					fits = fits || strings.Contains(r.Str(of), given[0])
				}
				if fits && (!relayed || r.Str("path") == "relayed") {
					out = append(out, r)
				}
			}
			return t.List(out, "no paths", "host=hostId", "address", "peer", "peer-address=peerAddress", "path", "via", "why")
		},
	}
	c.Flags().BoolVar(&relayed, "relayed", false, "only those that the server relays")
	return c
}
