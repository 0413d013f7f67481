package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
)

func contentTrust() *cobra.Command {
	c := &cobra.Command{
		Use: "trust", Short: "What a server holds of the trust in content", Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(trustForget())
	return c
}

func trustForget() *cobra.Command {
	var o options
	var yes bool
	c := &cobra.Command{
		Use:   "forget --yes",
		Short: "Forget the root of trust, while the server is stopped: its keys are lost",
		Long: `Forget the root of trust and all that was signed under it, so that another one can
be published. For when so many keys are lost that nothing can be signed any more.
The server must be stopped meanwhile, and all others on its database.

Hosts do not follow: they go on with what they have, and refuse what the next root
signs, until each is told anew, on the machine, with "fernwerk-agent trust pin".`,
		Example: "  fernwerkd trust forget --yes",
		Args:    arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if !yes {
				return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot forget the root of trust without --yes: every host must be told anew afterwards"),
					"look for the keys first: two of the root's, and the list's")
			}
			cfg, err := o.config()
			if err != nil {
				return err
			}
			if err := server.ForgetTrust(c.Context(), cfg); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "the root of trust is forgotten; next: fernwerk trust init DIR, then fernwerk trust publish DIR")
			return err
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do it")
	o.define(c)
	return c
}
