// Package hosts is the machines: to list, look at, make and remove them.
package hosts

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is host.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	return []*cobra.Command{c.hostCommand()}
}
