package command

import (
	"github.com/spf13/cobra"
)

func infopageCommand(dataDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "infopage", Short: "Prints the page that shows in a browser what the agent does", Args: arguments,
		Long:    "Prints the page that the agent has at /info for a browser: what is under way, the last changes with all their steps on a line of time, and the timeline. It needs nothing else than itself.",
		Example: "  fernwerk-agent infopage > page.html",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			page, err := client.Info(c.Context())
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(page)
			return err
		},
	}
}
