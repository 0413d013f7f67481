package command

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/kit/deadman"
)

const guardCommand = "guard"

// guard is what a server starts beside a tunnel's openvpn and the mesh's hub.
func guard() *cobra.Command {
	return &cobra.Command{
		Use: guardCommand + " FILE PID", Hidden: true,
		Short: "End a process when FILE says that it may run no longer",
		Long: `End a process when FILE says that it may run no longer. A server starts it beside a
tunnel's openvpn and the mesh's hub, where other servers share its database: they
end with the server's turn also if the server is dead or hangs.`,
		Args: arguments,
		RunE: func(c *cobra.Command, args []string) error {
			pid, err := strconv.Atoi(args[1])
			if err != nil || pid <= 1 {
				return &usage{errors.New("PID is the number of a process"), c.CommandPath()}
			}
			return deadman.Guard(c.Context(), args[0], pid)
		},
	}
}
