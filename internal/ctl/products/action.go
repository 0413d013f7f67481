package products

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// actions are what can be requested.
var actions = []string{string(fleet.Setup), string(fleet.Uninstall), string(fleet.Update), string(fleet.Always), string(fleet.Once), string(fleet.Custom)}

func (t command) actionCommand() *cobra.Command {
	c := &cobra.Command{Use: "action", Short: "Action requests: set, list, cancel"}
	c.AddCommand(t.actionSetCommand(), t.actionListCommand(), t.actionCancelCommand())
	return c
}
