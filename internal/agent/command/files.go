package command

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// filesCommand is what the machine's own administrator sees of the files that it
// has as a node. All goes through the running agent.
func filesCommand(dataDir *string) *cobra.Command {
	var asJSON bool
	c := group(&cobra.Command{Use: "files", Short: "Files that this machine has as a node of its type: list, now"})
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls", "status"}, Short: "Shows the files, how each is, and why", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			s, err := client.Files(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), s)
			}
			return printFiles(c.OutOrStdout(), s)
		},
	}
	now := &cobra.Command{
		Use: "now", Short: "Asks the server at once, and makes the files right", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := dial(*dataDir)
			if err != nil {
				return err
			}
			if err := client.FilesNow(c.Context()); err != nil {
				return err
			}
			return noted(c, "the agent asks now", "fernwerk-agent files list")
		},
	}
	c.AddCommand(list, now)
	return c
}

func printFiles(w io.Writer, s nodefile.Machine) error {
	believes, asked := "the server's list counts", "the server was not reached yet"
	if s.Signed {
		believes = "only a list that was signed offline counts"
	}
	if !s.Asked.IsZero() {
		asked = "asked " + s.Asked.Local().Format(time.DateTime)
	}
	kind := s.NodeType
	if kind == "" {
		kind = "none"
	}
	fmt.Fprintf(w, "node type %s; %s; %s\n", kind, believes, asked)
	if s.Problem != "" {
		fmt.Fprintf(w, "problem: %s\n", term.Clean(s.Problem))
	}
	if len(s.Files) == 0 {
		_, err := fmt.Fprintln(w, "no files")
		return err
	}
	var rows [][]string
	for _, f := range s.Files {
		why := f.Problem
		if !f.Repaired.IsZero() {
			if why != "" {
				why += "; "
			}
			why += "a change made here was put right " + f.Repaired.Local().Format(time.DateTime)
		}
		rows = append(rows, []string{f.Path, f.State, f.Since.Local().Format(time.DateTime), term.Clean(why)})
	}
	return term.Table(w, []string{"path", "state", "since", ""}, rows)
}
