package command

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func rebootCommand(dataDir *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "reboot", Short: "Shows the reboot that waits; accept it, or put it off", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error { return showReboot(c, *dataDir, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON; null: nothing asks for a reboot")
	accept := &cobra.Command{
		Use: "accept", Short: "Restarts the machine as soon as nothing is being installed", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dial(*dataDir)
			if err == nil {
				err = client.AcceptReboot(c.Context())
			}
			return err
		},
	}
	var by time.Duration
	later := &cobra.Command{
		Use: "later", Short: "Puts the reboot off", Args: arguments, Example: "  fernwerk-agent reboot later --by 30m",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dial(*dataDir)
			if err == nil {
				err = client.DeferReboot(c.Context(), by)
			}
			if err != nil {
				return err
			}
			return showReboot(c, *dataDir, false)
		},
	}
	later.Flags().DurationVar(&by, "by", 0, "for how long; as long as is configured if not given")
	c.AddCommand(accept, later)
	return c
}

func showReboot(c *cobra.Command, dataDir string, asJSON bool) error {
	client, err := dial(dataDir)
	if err != nil {
		return err
	}
	st, err := client.Reboot(c.Context())
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(c.OutOrStdout(), st)
	}
	if st == nil {
		fmt.Fprintln(c.OutOrStdout(), "nothing asks for a reboot")
		return nil
	}
	printReboot(c.OutOrStdout(), st)
	return nil
}

func printReboot(w io.Writer, st *control.RebootStatus) {
	fmt.Fprintf(w, "why      %s\n", term.Clean(st.Text))
	if st.Due < "2100" {
		fmt.Fprintf(w, "at       %s UTC, unless it is put off\n", st.Due)
	} else {
		fmt.Fprintln(w, "at       when somebody accepts it")
	}
	if st.Latest != "" {
		fmt.Fprintf(w, "latest   %s UTC\n", st.Latest)
	}
	fmt.Fprintf(w, "later    %d times more, %d times so far\n", st.Deferrals, st.Deferred)
	if st.Holds {
		fmt.Fprintln(w, "         product actions wait for it")
	}
	if st.Trouble != "" {
		fmt.Fprintf(w, "trouble  %s\n", term.Clean(st.Trouble))
	}
}
