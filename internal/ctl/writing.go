package ctl

import (
	"github.com/spf13/cobra"
)

// writing are the flags of commands that change something.
type writing struct{ dryRun, yes bool }

func (w *writing) add(c *cobra.Command) {
	c.Flags().BoolVar(&w.dryRun, "dry-run", false, "say what would be done, and do nothing")
	c.Flags().BoolVarP(&w.yes, "yes", "y", false, "do not ask")
}
