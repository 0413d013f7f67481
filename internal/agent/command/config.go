package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use: "config", Short: "Prints a prepared agent.conf", Args: arguments,
		Long:    "Prints a prepared agent.conf: it says what the agent does without one. To put a client into WAN mode, four events are switched in it, and nothing else is changed.",
		Example: "  fernwerk-agent config > /var/lib/fernwerk-agent/agent.conf",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(c.OutOrStdout(), conf.Prepared())
			return err
		},
	}
}
