package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/grid"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/mesh"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func meshUp(dataDir *string) *cobra.Command {
	c := &cobra.Command{
		Use: "up", Short: "Enter the mesh, and stay in it", Args: arguments,
		Long: `Enter the mesh, and stay in it: the running agent gets its certificate and the map,
keeps the mesh running, also after a restart of the machine, and has the machine use
the DNS servers of its node type. With --wait the command ends when the server is
reached in the mesh; without it, when that was noted.`,
	}
	wait, within := waits(c, "wait until the server is reached in the mesh")
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir := grid.MeshDir(*dataDir)
		if _, err := identity.Load(*dataDir); err != nil {
			return err
		}
		if _, err := mesh.Wish(dir, true); err != nil {
			return err
		}
		if !*wait {
			return noted(c, "the agent enters the mesh", "fernwerk-agent mesh status")
		}
		ctx, stop := context.WithTimeout(c.Context(), *within)
		defer stop()
		st, err := mesh.Await(ctx, dir, true)
		if err != nil {
			return fleet.WithHint(err, "is the agent running? Its log and fernwerk-agent mesh status say more; it goes on trying")
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "in the mesh at %s\n", st.Address.Addr())
		return err
	}
	return c
}

func meshDown(dataDir *string) *cobra.Command {
	c := &cobra.Command{
		Use: "down", Short: "Leave the mesh", Args: arguments,
		Long: `Leave a mesh that was entered with "mesh up". What was said by it goes by the tunnel of
OpenVPN, if this machine is in one. Where the configuration says enabled = true under
[mesh], the machine stays in the mesh: it is left with enabled = false there.`,
	}
	wait, within := waits(c, "wait until the mesh is left")
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir := grid.MeshDir(*dataDir)
		if file, err := agent.LoadConf(*dataDir); err == nil {
			if v, ok := file.Get("mesh", "enabled"); ok && v.Value == "true" {
				return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot leave the mesh: the configuration says that this machine is in it"), "set enabled = false under [mesh] in %s", agent.ConfFile(*dataDir))
			}
		}
		was, err := mesh.Wish(dir, false)
		if err == nil && !was {
			err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "the mesh was not entered here"), "fernwerk-agent mesh status says how it stands")
		}
		if err != nil {
			return err
		}
		if !*wait {
			return noted(c, "the agent leaves the mesh", "fernwerk-agent mesh status")
		}
		ctx, stop := context.WithTimeout(c.Context(), *within)
		defer stop()
		_, err = mesh.Await(ctx, dir, false)
		return err
	}
	return c
}

// waits adds the flags of a command that can wait.
func waits(c *cobra.Command, what string) (wait *bool, within *time.Duration) {
	wait = c.Flags().Bool("wait", false, what)
	within = c.Flags().Duration("timeout", 2*time.Minute, "how long to wait")
	return wait, within
}

// noted says that the running agent was told, and where to look.
func noted(c *cobra.Command, what, look string) error {
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s; see: %s\n", what, look)
	return err
}
