package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// updatesCommand is what the machine's own administrator does about run-once
// updates. All goes through the running agent, which alone holds the data folder.
func updatesCommand(dataDir *string) *cobra.Command {
	var asJSON bool
	c := group(&cobra.Command{Use: "updates", Short: "Run-once updates of this machine: list, log, now, decide"})
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	show := func(c *cobra.Command, list []control.UpdateStatus) error {
		if asJSON {
			return writeJSON(c.OutOrStdout(), list)
		}
		return printUpdates(c.OutOrStdout(), list)
	}
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "Shows what is offered, how it stands, and what waits for what", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			all, err := client.Updates(c.Context())
			if err != nil {
				return err
			}
			return show(c, all)
		},
	}
	log := &cobra.Command{
		Use: "log NUMBER", Short: "Shows every attempt of an update, and what it printed", Args: arguments, ValidArgsFunction: completeUpdates(dataDir),
		RunE: func(c *cobra.Command, given []string) error {
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			all, err := client.UpdateLog(c.Context(), given[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), all)
			}
			printAttempts(c.OutOrStdout(), all)
			return nil
		},
	}
	var dryRun bool
	now := &cobra.Command{
		Use: "now", Short: "Asks the server for updates at once, and runs them", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			if !dryRun {
				if err := client.UpdatesNow(c.Context()); err != nil {
					return err
				}
				return noted(c, "the agent asks now", "fernwerk-agent updates list")
			}
			all, err := client.UpdatesLook(c.Context())
			if err != nil {
				return err
			}
			return show(c, all)
		},
	}
	now.Flags().BoolVar(&dryRun, "dry-run", false, "ask and verify, and say what would run; nothing runs")
	decide := &cobra.Command{
		Use: "decide NUMBER retry|skip", Short: "Says what is done about an update that failed or was interrupted", Args: arguments,
		ValidArgsFunction: completeUpdates(dataDir, update.Retry, update.Skip),
		RunE: func(c *cobra.Command, given []string) error {
			if err := update.ValidDecision(given[1]); err != nil {
				return misused(c, "%s", err)
			}
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			return client.UpdateDecide(c.Context(), given[0], given[1])
		},
	}
	c.AddCommand(list, log, now, decide)
	return c
}

func printUpdates(w io.Writer, list []control.UpdateStatus) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no updates")
		return err
	}
	var rows [][]string
	for _, s := range list {
		rows = append(rows, []string{s.Number, s.ID, s.State, s.Do, s.Why})
	}
	return term.Table(w, []string{"number", "id", "state", "next", ""}, rows)
}

func printAttempts(w io.Writer, list []control.UpdateAttempt) {
	for _, a := range list {
		told := "reported"
		if !a.Reported {
			told = "not reported yet"
		}
		fmt.Fprintf(w, "attempt %d, %s to %s: %s (exit %d), %s", a.Attempt, a.Started, a.Ended, a.State, a.Exit, told)
		if a.Reason != "" {
			fmt.Fprintf(w, "\n  because: %s", term.Clean(a.Reason))
		}
		fmt.Fprintln(w)
		for line := range strings.Lines(a.Output) {
			fmt.Fprintf(w, "  %s\n", term.Clean(strings.TrimRight(line, "\r\n")))
		}
	}
}
