package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/grid"
	"github.com/fernwerk/fernwerk/internal/server/presence/report"
)

// presence is for the scripts of an OpenVPN that somebody else runs.
func presence() *cobra.Command {
	c := &cobra.Command{
		Use:   "presence",
		Short: "Report clients of an OpenVPN that somebody else runs",
		Long: `Report clients of an OpenVPN that somebody else runs: for its scripts
client-connect and client-disconnect, whose environment says who came or went.
OpenVPN does not wait: a server that does not answer at once finds the report
when it does.`,
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(presenceReport(true, "up", "connect"), presenceReport(false, "down", "disconnect"))
	return c
}

func presenceReport(up bool, word, event string) *cobra.Command {
	var o options
	var given report.Options
	c := &cobra.Command{
		Use:   word + " [FILE]",
		Short: "A client " + event + "ed: OpenVPN's script client-" + event,
		Long: fmt.Sprintf(`A client %sed. OpenVPN's environment says which: common_name, time_unix,
ifconfig_pool_remote_ip, trusted_ip. OpenVPN adds a FILE for further options,
which stays empty. An error refuses the client; it means that the server does not
know the host, or that the address is another's.`, event),
		Example: fmt.Sprintf("  client-%s \"/usr/bin/fernwerkd presence %s --domain grid.example.org\"", event, word),
		Args:    arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			if cfg.ConfigServer != "" {
				return &usage{errors.New("this is a depot server: nodes are the config server's"), c.CommandPath()}
			}
			data := cfg.Data
			if data == "" {
				if data, err = config.DataFolder(); err != nil {
					return err
				}
			}
			if data, err = filepath.Abs(data); err != nil {
				return err
			}
			r, err := report.FromOpenVPN(up, os.Getenv, given)
			if err != nil {
				return err
			}
			near, err := rpc.NewClient(rpc.Options{URL: "unix://" + filepath.Join(data, server.Socket)})
			if err != nil {
				return err
			}
			call := func(ctx context.Context, method string, args ...any) (any, error) {
				return near.Call(ctx, methods.Actor{}, method, methods.Pos(args...))
			}
			queued, err := r.Hand(c.Context(), call, filepath.Join(data, grid.Reports))
			if queued {
				fmt.Fprintln(c.ErrOrStderr(), "fernwerkd does not answer: it finds the report when it does")
			}
			return err
		},
	}
	o.define(c)
	c.Flags().StringVar(&given.Tunnel, "tunnel", "openvpn", "`NAME` of the tunnel")
	c.Flags().StringVar(&given.Domain, "domain", "", "`DOMAIN` of hosts whose certificates have a short name")
	if up {
		c.Flags().StringVar(&given.NodeType, "node-type", "", "`TYPE` of hosts that did not join as one")
	}
	return c
}
