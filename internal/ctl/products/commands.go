// Package products is software: packages as files and on the depot, the products
// in them, and what shall be done with them on which hosts.
package products

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands are package, product and action.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	return []*cobra.Command{c.packageCommand(), c.productCommand(), c.actionCommand()}
}
