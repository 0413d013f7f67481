package nodes

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) namesCommand() *cobra.Command {
	var problems bool
	c := &cobra.Command{
		Use: "list [TEXT]", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List names of nodes, of hosts and of the configuration",
		Long: `List the names that the server answers for: those of nodes, of hosts that are
nodes, and of its configuration, or those with TEXT in name or value. The names of
addresses that nobody has resolve too and are not listed: they follow from the
node types. A name that two want is listed with who does not get it. Where FOR says
so, the answer is for these nodes only, and the others get the one without.`,
		Example: "  fernwerk dns list vnode-7",
		RunE: func(c *cobra.Command, given []string) error {
			rows, err := t.Rows(c.Context(), "dns_getRecords")
			if err != nil {
				return err
			}
			var out []fleet.Row
			for _, r := range rows {
				fits := len(given) == 0 || strings.Contains(r.Str("name"), given[0]) || strings.Contains(r.Str("value"), given[0])
				if fits && (!problems || r.Str("problem") != "") {
					out = append(out, r)
				}
			}
			return t.List(out, "no names", "name", "kind=type", "value", "ttl", "for", "of", "problem")
		},
	}
	c.Flags().BoolVar(&problems, "problems", false, "only names that two want")
	return c
}
