package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/grid"
	"github.com/fernwerk/fernwerk/internal/agent/mesh"
	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
	content "github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// tunnelState is how a tunnel stands here, the mesh among them, and how others are
// reached in it.
type tunnelState struct {
	tunnel.Status
	Path  string     `json:"path"`            // for people; "" while it is not up
	Peers []meshPeer `json:"peers,omitempty"` // of the mesh
}

func tunnelStatus(dataDir *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status", Short: "Show the tunnels that this machine is in, or tries to enter", Args: arguments,
		Long: `Show the tunnels that this machine is in, or tries to enter, and how it reaches others
there: in OpenVPN through the server, in the mesh directly or relayed, node by node,
and why.`,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := tunnelStates(c.Context(), *dataDir)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), all)
			}
			return writeTunnels(c.OutOrStdout(), all)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

func tunnelStates(ctx context.Context, dataDir string) (map[string]tunnelState, error) {
	known, err := tunnel.Statuses(dataDir)
	if err != nil {
		return nil, err
	}
	all := map[string]tunnelState{}
	for name, st := range known {
		one := tunnelState{Status: st}
		if st.State == tunnel.Connected {
			one.Path = "through the server"
		}
		all[name] = one
	}
	stands, err := mesh.Stands(grid.MeshDir(dataDir))
	if err != nil || stands.State == "" { // nobody ever wished it
		return all, err
	}
	one := tunnelState{Status: tunnel.Status{Name: content.Tunnel, State: stands.State, Since: stands.Since, Problem: stands.Problem}}
	if stands.State == mesh.Up {
		state, now, peers, err := meshPeers(ctx, dataDir)
		if err != nil { // the process ended a moment ago, or the agent with it
			one.State, one.Problem = mesh.Connecting, err.Error()
		} else if state.Certificate != "" {
			one.Address, one.Device, one.Until, one.PID = state.Address.Addr().String(), meshDevice(dataDir), state.NotAfter, now.PID
			var words []string
			for _, p := range peers {
				words = append(words, p.Path)
			}
			one.Path, one.Peers = content.Reach(words), peers
		}
	}
	all[content.Tunnel] = one
	return all, nil
}

func writeTunnels(out io.Writer, all map[string]tunnelState) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "no tunnel")
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		st := all[name]
		line := name + ": " + st.State
		if st.Address != "" {
			line += ", " + st.Address + " at " + st.Device
			if st.Server != "" {
				line += ", through the server " + st.Server
			} else if st.Path != "" {
				line += ", " + st.Path
			}
		}
		if !st.Since.IsZero() {
			line += ", since " + st.Since.Format(time.RFC3339)
		}
		if len(st.DNS) > 0 {
			line += ", DNS " + strings.Join(st.DNS, " ")
		}
		if st.Problem != "" {
			line += ": " + st.Problem
		}
		_, err := fmt.Fprintln(out, line)
		if len(st.Peers) > 0 {
			err = cmp.Or(err, writePeers(out, "  ", st.Peers))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
