package ctl

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t *tool) actionCancelCommand() *cobra.Command {
	var hosts which
	var w writing
	c := &cobra.Command{
		Use: "cancel PRODUCT", Args: args,
		Short: "Take back an action request",
		Long: `Take back an action request. What it had brought along for the sake of
dependencies stays requested.`,
		RunE: func(c *cobra.Command, given []string) error {
			if err := hosts.check(c); err != nil {
				return err
			}
			return t.request(c.Context(), given[0], string(fleet.None), hosts, w)
		},
	}
	hosts.add(c)
	w.add(c)
	return c
}
