// Package updates is run-once updates as an administrator makes them: a numbered
// file with a header, signed off line, published to a growing part of the fleet,
// and watched.
package updates

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is update.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	update := &cobra.Command{Use: "update", Short: "Run a change once everywhere: new, lint, sign, publish, status"}
	update.AddCommand(c.newCommand(), c.lintCommand(), c.signCommand(), c.publishCommand(), c.withdrawCommand(), c.statusCommand(), c.decideCommand())
	return []*cobra.Command{update}
}
