package tool

import "github.com/spf13/cobra"

// Writing are the flags of commands that change something.
type Writing struct{ DryRun, Yes bool }

// Add adds the flags to a command.
func (w *Writing) Add(c *cobra.Command) {
	c.Flags().BoolVar(&w.DryRun, "dry-run", false, "say what would be done, and do nothing")
	c.Flags().BoolVarP(&w.Yes, "yes", "y", false, "do not ask")
}
