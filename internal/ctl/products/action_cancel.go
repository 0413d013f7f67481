package products

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) actionCancelCommand() *cobra.Command {
	var hosts selection.Hosts
	var w tool.Writing
	c := &cobra.Command{
		Use: "cancel PRODUCT", Args: tool.Args,
		Short: "Take back an action request",
		Long: `Take back an action request. What it had brought along for the sake of
dependencies stays requested.`,
		RunE: func(c *cobra.Command, given []string) error {
			if err := hosts.Check(c); err != nil {
				return err
			}
			return t.request(c.Context(), given[0], string(fleet.None), hosts, w)
		},
	}
	hosts.Add(c)
	w.Add(c)
	return c
}
