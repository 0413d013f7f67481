// Package service is the server itself, seen from the command line: whether it
// is well, its methods one by one, and the logs that it keeps.
package service

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands are status, doctor, rpc, opsi-admin and log.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	return []*cobra.Command{c.statusCommand(), c.doctorCommand(), c.rpcCommand(), c.opsiAdminCommand(), c.logCommand()}
}
