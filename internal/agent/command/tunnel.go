package command

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/grid"
	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

func tunnelCommand(dataDir *string, version string) *cobra.Command {
	c := group(&cobra.Command{Use: "tunnel", Short: "Enter a tunnel of the server"})
	var dir string
	var force bool
	credentials := &cobra.Command{
		Use: "credentials NAME", Short: "Get certificate and configuration of a tunnel for OpenVPN",
		Long: `Get certificate and configuration of a tunnel for OpenVPN: ca.crt, client.crt,
client.key (made here, mode 0600) and NAME.conf. Called again it does nothing while the
certificate has a third of its life left; the running agent renews it by itself. Have
OpenVPN read the certificate anew then: it does at each start, and on SIGHUP.`,
		Args: arguments,
		RunE: func(c *cobra.Command, args []string) error {
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			place := tunnel.Place{Name: args[0], Dir: abs}
			changed, until, err := grid.TunnelClient(*dataDir, version).Fetch(c.Context(), place, force)
			if err != nil {
				return err
			}
			if err := tunnel.Remember(*dataDir, place); err != nil {
				return err
			}
			what := "is good"
			if changed {
				what = "was written"
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s %s, certificate until %s\n", filepath.Join(abs, place.Name+".conf"), what, until.UTC().Format(time.RFC3339))
			return err
		},
	}
	credentials.Flags().StringVar(&dir, "dir", "/etc/openvpn", "the folder for the files")
	credentials.Flags().BoolVar(&force, "force", false, "write also where OpenVPN is not installed")
	c.AddCommand(credentials, tunnelUp(dataDir, version), tunnelDown(dataDir), tunnelStatus(dataDir))
	return c
}

func tunnelUp(dataDir *string, version string) *cobra.Command {
	var wait bool
	var within time.Duration
	c := &cobra.Command{
		Use: "up NAME", Short: "Enter a tunnel of the server, and stay in it",
		Long: `Enter a tunnel of the server, and stay in it: the running agent gets its
credentials, keeps openvpn running, also after a restart of the machine, and has the
machine use the DNS servers that the tunnel brings. With --wait the command ends when
the tunnel is up; without it, when that was noted.`,
		Args: arguments,
		RunE: func(c *cobra.Command, args []string) error {
			name := args[0]
			if err := enrol.ValidTunnel(name); err != nil {
				return err
			}
			if name == mesh.Tunnel {
				return fleet.WithHint(fleet.Errorf(fleet.Invalid, "the mesh is entered otherwise"), "fernwerk-agent mesh up")
			}
			place := tunnel.Place{Name: name, Dir: tunnel.Home(*dataDir, name), Up: true}
			abs, err := filepath.Abs(place.Dir)
			if err != nil {
				return err
			}
			place.Dir = abs
			// Asked here, so that a name that the server does not know is an answer.
			if _, _, err := grid.TunnelClient(*dataDir, version).Fetch(c.Context(), place, false); err != nil {
				return err
			}
			if err := tunnel.Remember(*dataDir, place); err != nil {
				return err
			}
			if !wait {
				return noted(c, "the agent enters the tunnel", "fernwerk-agent tunnel status")
			}
			ctx, stop := context.WithTimeout(c.Context(), within)
			defer stop()
			st, err := tunnel.Await(ctx, *dataDir, name)
			if err != nil {
				return fleet.WithHint(err, "is the agent running? Its log and fernwerk-agent tunnel status say more; it goes on trying")
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "tunnel %s is up at %s\n", name, st.Address)
			return err
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until the tunnel is up")
	c.Flags().DurationVar(&within, "timeout", 2*time.Minute, "how long to wait")
	return c
}

func tunnelDown(dataDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "down NAME", Short: "Leave a tunnel", Args: arguments, ValidArgsFunction: completeTunnels(dataDir),
		Long: `Leave a tunnel that was entered with "tunnel up". One that is active in the
configuration comes up again: it is left with active = false there.`,
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == mesh.Tunnel {
				return fleet.WithHint(fleet.Errorf(fleet.Invalid, "the mesh is left otherwise"), "fernwerk-agent mesh down")
			}
			was, err := tunnel.Leave(*dataDir, args[0])
			if err == nil && !was {
				err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "there is no tunnel %s that was entered here", args[0]), "fernwerk-agent tunnel status lists them")
			}
			if err != nil {
				return err
			}
			return noted(c, "the agent leaves the tunnel", "fernwerk-agent tunnel status")
		},
	}
}
