package command

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
)

func tunnelCommand(dataDir *string, version string) *cobra.Command {
	c := &cobra.Command{Use: "tunnel", Short: "Enter a tunnel of the server", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var dir string
	var force bool
	credentials := &cobra.Command{
		Use: "credentials NAME", Short: "Get certificate and configuration of a tunnel for OpenVPN",
		Long: `Get certificate and configuration of a tunnel for OpenVPN: ca.crt, client.crt,
client.key (made here, mode 0600) and NAME.conf. Called again it does nothing while the
certificate has a third of its life left; the running agent renews it by itself. Have
OpenVPN read the certificate anew then: it does at each start, and on SIGHUP.`,
		Args: arguments(1),
		RunE: func(c *cobra.Command, args []string) error {
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			place := tunnel.Place{Name: args[0], Dir: abs}
			changed, until, err := agent.TunnelClient(*dataDir, version).Fetch(c.Context(), place, force)
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
	c.AddCommand(credentials)
	return c
}
