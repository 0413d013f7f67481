package ctl

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// docsCommand writes the man pages; it is for those who build packages.
func docsCommand(t *tool.Tool) *cobra.Command {
	return &cobra.Command{
		Use: "gen-docs DIR", Args: tool.Args, Hidden: true,
		Short: "Write the man pages of all commands into a folder",
		RunE: func(c *cobra.Command, given []string) error {
			if err := os.MkdirAll(given[0], 0o755); err != nil {
				return err
			}
			c.Root().DisableAutoGenTag = true // builds are reproducible
			header := &doc.GenManHeader{Section: "1", Source: "Fernwerk " + t.Version, Manual: "Fernwerk"}
			if err := doc.GenManTree(c.Root(), header, given[0]); err != nil {
				return fmt.Errorf("cannot write the man pages: %w", err)
			}
			return nil
		},
	}
}
