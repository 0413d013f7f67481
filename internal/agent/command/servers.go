package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func serversCommand(dataDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "servers", Short: "Shows how this machine knows its servers", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			id, err := identity.Load(*dataDir)
			if err != nil {
				return err
			}
			if id.ServerTrust == identity.FirstUse {
				return printKnown(c.OutOrStdout(), *dataDir)
			}
			certs, err := pin.Certificates([]byte(id.CA))
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "authority: servers are known by a certificate of")
			for _, a := range certs {
				fmt.Fprintf(c.OutOrStdout(), "  %s  %s\n", identity.Fingerprint(a), term.Clean(a.Subject.CommonName))
			}
			return nil
		},
	}
}

func printKnown(w io.Writer, dataDir string) error {
	known, err := identity.KnownServers(dataDir)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "first-use: servers are known by the certificate that they showed first")
	for _, k := range known {
		if k.Damaged != "" {
			fmt.Fprintf(w, "  %s  refused: %s\n", term.Clean(k.Server), term.Clean(k.Damaged))
			continue
		}
		fmt.Fprintf(w, "  %s  %s\n", k.SHA256, term.Clean(k.Server))
	}
	return nil
}

func forgetServerCommand(dataDir *string) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "forget-server SERVER", Short: "Deletes the stored certificate of a server that was given another one",
		Long: `Deletes the stored certificate of a server that was given another one.

It is for machines that joined with --server-trust first-use: the certificate that
the server shows next is believed. SERVER is its name or IP address, as in its
address. It counts at once, also for the agent that runs.`,
		Args: func(c *cobra.Command, args []string) error {
			if all == (len(args) == 1) || len(args) > 1 {
				return misused(c, "cannot run %q: it wants a server, or --all", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var server string
			if !all {
				server = args[0]
			}
			forgotten, err := identity.ForgetServers(*dataDir, server)
			for _, f := range forgotten {
				fmt.Fprintf(c.OutOrStdout(), "forgot %s: the certificate that it shows next is believed\n", f)
			}
			return err
		},
	}
	c.Flags().BoolVar(&all, "all", false, "of all servers")
	return c
}
