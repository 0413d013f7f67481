package command

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func statusCommand(dataDir *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status", Short: "Shows what the agent is doing and what it holds", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			st, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), st)
			}
			printStatus(c.OutOrStdout(), st)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// dial reaches the agent of a data folder as the machine's host.
func dial(dataDir string) (*control.Client, error) {
	id, err := identity.Load(dataDir)
	if err != nil {
		return nil, err
	}
	return control.Dial(dataDir, id.HostID, id.HostKey)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func printStatus(w io.Writer, st control.Status) {
	fmt.Fprintf(w, "host     %s\nserver   %s\nversion  %s\n", term.Clean(st.HostID), term.Clean(st.Server), st.Version)
	fmt.Fprintf(w, "content  %s\n", trustLine(st.Trust))
	if st.Running != "" {
		fmt.Fprintf(w, "running  %s: %s (%d waiting)\n", term.Clean(st.Event), st.Task, st.Waiting)
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(st.Flags)) {
		if st.Flags[name] {
			set = append(set, name)
		}
	}
	fmt.Fprintf(w, "flags    %s\nunsent   %d\n", strings.Join(set, ", "), st.Unsent)
	if r := st.Reboot; r != nil && r.Due < "2100" {
		fmt.Fprintf(w, "reboot   %s UTC: %s\n", r.Due, term.Clean(r.Text))
	} else if r != nil {
		fmt.Fprintf(w, "reboot   when somebody accepts it: %s\n", term.Clean(r.Text))
	}
	if len(st.Cache.Products) > 0 {
		var rows [][]string
		for _, p := range st.Cache.Products {
			rows = append(rows, []string{p.ProductID, p.ProductVersion + "-" + p.PackageVersion, fmt.Sprint(p.Cached), term.Bytes(p.BytesDone) + " of " + term.Bytes(p.BytesTotal)})
		}
		fmt.Fprintln(w)
		term.Table(w, []string{"product", "version", "cached", "content"}, rows)
	}
	if len(st.Changes) > 0 {
		var rows [][]string
		for _, ch := range st.Changes {
			rows = append(rows, []string{ch.ID, ch.Event, ch.Status, ch.Text})
		}
		fmt.Fprintln(w)
		term.Table(w, []string{"change", "event", "status", ""}, rows)
	}
}

func fireCommand(dataDir *string) *cobra.Command {
	var wait, asJSON bool
	c := &cobra.Command{
		Use: "fire EVENT", Short: "Makes an event occur", Args: arguments,
		Example: "  fernwerk-agent fire timer --wait",
		RunE: func(c *cobra.Command, args []string) error {
			if asJSON && !wait {
				return misused(c, "--json goes with --wait")
			}
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			id, err := client.Fire(c.Context(), args[0])
			if err != nil {
				return err
			}
			if id == "" {
				fmt.Fprintln(c.OutOrStdout(), "nothing to do")
				return nil
			}
			if !wait {
				fmt.Fprintln(c.OutOrStdout(), id)
				return nil
			}
			return follow(c, client, id, asJSON)
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until the change that the event asks for has ended")
	c.Flags().BoolVar(&asJSON, "json", false, "with --wait: print the change as JSON")
	return c
}

// follow waits for a change and prints its steps.
func follow(c *cobra.Command, client *control.Client, id string, asJSON bool) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := client.Change(c.Context(), id)
		if err != nil {
			return err
		}
		if d.Ended() {
			if asJSON {
				if err := writeJSON(c.OutOrStdout(), d); err != nil {
					return err
				}
			} else {
				for _, t := range d.Tasks {
					fmt.Fprintf(c.OutOrStdout(), "%-26s %-8s %s\n", t.Kind, t.Status, term.Clean(t.Text))
				}
			}
			if d.Status == "failed" {
				return fmt.Errorf("event %s failed: %s", d.Event, term.Clean(d.Text))
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-c.Context().Done():
			return c.Context().Err()
		}
	}
}
