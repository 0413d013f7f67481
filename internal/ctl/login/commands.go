// Package login is which server a person works with, and as whom: log in and
// out, and see who one is.
package login

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands are login, logout, whoami and context.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	return []*cobra.Command{c.loginCommand(), c.logoutCommand(), c.whoamiCommand(), c.contextCommand()}
}
