// Package tunnels shows who is in the tunnels, and puts somebody out.
package tunnels

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is tunnel.
func Commands(t *tool.Tool) []*cobra.Command {
	f := command{t}
	c := &cobra.Command{Use: "tunnel", Short: "Tunnels: who is there, and since when"}
	c.AddCommand(f.listCommand(), f.showCommand(), f.disconnectCommand())
	return []*cobra.Command{c}
}

func (t command) listCommand() *cobra.Command {
	var down bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List who is in which tunnel",
		Long: `List who is in which tunnel, with the node's name and address there, how it reaches
others in it, where it comes from, and the bytes received from it and sent to it. Bytes
are known of tunnels that the asked server runs itself. In the mesh nodes reach each
other directly or are relayed by the server: "tunnel show" says which, and why.`,
		RunE: func(c *cobra.Command, _ []string) error {
			rows, err := t.Rows(c.Context(), "tunnel_getObjects")
			if err != nil {
				return err
			}
			shown := []fleet.Row{}
			for _, r := range rows {
				if down || r["up"] == true {
					shown = append(shown, r)
				}
			}
			return t.show(shown, "nobody is in a tunnel")
		},
	}
	c.Flags().BoolVar(&down, "all", false, "also who was in one and is no longer")
	return c
}

func (t command) show(rows []fleet.Row, none string, more ...string) error {
	if t.JSON {
		return t.WriteJSON(rows)
	}
	for _, r := range rows {
		r["state"] = "down"
		if r["up"] == true {
			r["state"] = "up"
		}
		r["from"] = r["clientAddress"]
		if r["here"] != true {
			r["received"], r["sent"] = "", ""
		}
		if r.Str("tunnel") == mesh.Tunnel { // it carries what this server does not see
			r["received"], r["sent"] = "", ""
		}
		r["host"] = r["hostId"]
		r["lan"] = places(r)
	}
	return t.List(rows, none, append([]string{"host", "tunnel", "state", "name", "address", "path", "from", "since", "received", "sent"}, more...)...)
}

// places are LAN addresses as people read them.
func places(r fleet.Row) string {
	all := slices.Clone(r.Strings("lan"))
	for i, at := range all {
		for _, p := range r.Strings("lanProblems") {
			if why, ok := strings.CutPrefix(p, at+" "); ok {
				all[i] += " (" + why + ")"
			}
		}
	}
	return strings.Join(all, ", ")
}

func (t command) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show HOST", Args: tool.Args,
		Short: "Show the tunnels of a host",
		Long: `Show the tunnels of a host, and its LAN addresses beside them: its neighbours there get
these for its name if its node type says so (fernwerk node-type set TYPE --lan-direct).
An address that another node tells too is answered to nobody. In OpenVPN all goes
through the server; of the mesh each other node is named that the host talks to,
directly or relayed, by which place and why, as it told at its last question.`,
		RunE: func(c *cobra.Command, given []string) error {
			host := strings.ToLower(given[0])
			rows, err := t.Rows(c.Context(), "tunnel_getObjects", []any{host})
			if err != nil {
				return err
			}
			if err := t.addPeers(c.Context(), host, rows); err != nil {
				return err
			}
			if err := t.show(rows, host+" was in no tunnel", "lan"); err != nil || t.JSON {
				return err
			}
			for _, r := range rows {
				if peers, ok := r["peers"].([]fleet.Row); ok && len(peers) > 0 {
					fmt.Fprintln(t.Out)
					return t.List(peers, "", "peer", "peer-address=peerAddress", "path", "via", "why")
				}
			}
			return nil
		},
	}
}

// addPeers says of a host in the mesh whom it talks to there.
func (t command) addPeers(ctx context.Context, host string, rows []fleet.Row) error {
	at := slices.IndexFunc(rows, func(r fleet.Row) bool { return r.Str("tunnel") == mesh.Tunnel && r["up"] == true })
	if at < 0 {
		return nil
	}
	ways, err := t.Rows(ctx, "mesh_getPaths", []any{host})
	if fleet.CodeOf(err) == fleet.NotHere { // it has no mesh any more
		return nil
	}
	peers, words := []fleet.Row{}, []string{}
	for _, w := range ways {
		words = append(words, w.Str("path"))
		if w.Str("peerAddress") != "" {
			peers = append(peers, w)
		}
	}
	rows[at] = maps.Clone(rows[at])
	rows[at]["peers"], rows[at]["path"] = peers, mesh.Reach(words) // one answer, as of now
	return err
}

func (t command) disconnectCommand() *cobra.Command {
	var w tool.Writing
	var name string
	c := &cobra.Command{
		Use: "disconnect HOST", Args: tool.Args,
		Short: "End what a host has in a tunnel",
		Long: `End what a host has in a tunnel now. It may come back at once, by its own agent; who
shall stay out is revoked: fernwerk host revoke HOST. Nobody can be put out of the mesh
so: its nodes are in it with each other.`,
		Example: "  fernwerk tunnel disconnect client317.example.org",
		RunE: func(c *cobra.Command, given []string) error {
			return t.disconnect(c.Context(), strings.ToLower(given[0]), name, w)
		},
	}
	c.Flags().StringVar(&name, "tunnel", "", "this tunnel only (default: all that it is in, but the mesh)")
	w.Add(c)
	return c
}

func (t command) disconnect(ctx context.Context, host, name string, w tool.Writing) error {
	if name != "" {
		rows, err := t.Rows(ctx, "tunnel_getObjects", []any{host})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(rows, func(r fleet.Row) bool { return r["up"] == true && r.Str("tunnel") == name }) {
			return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot disconnect %s: it is not in tunnel %s", host, name), "fernwerk tunnel list shows who is where")
		}
	}
	names := []string{name}
	if name == "" {
		names = nil
		rows, err := t.Rows(ctx, "tunnel_getObjects", []any{host})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r["up"] == true && r.Str("tunnel") != mesh.Tunnel {
				names = append(names, r.Str("tunnel"))
			}
		}
		if len(names) == 0 && slices.ContainsFunc(rows, func(r fleet.Row) bool { return r["up"] == true }) {
			names = []string{mesh.Tunnel} // the server says why not, and what is next
		}
		if len(names) == 0 {
			return fleet.Errorf(fleet.NotFound, "cannot disconnect %s: it is in no tunnel", host)
		}
	}
	text := strings.Join(names, ", ")
	if w.DryRun {
		return t.Say(map[string]any{"host": host, "tunnels": names, "dryRun": true}, "would disconnect %s from %s", host, text)
	}
	if err := t.Confirm(w.Yes, "disconnect "+host+" from "+text); err != nil {
		return err
	}
	for _, n := range names {
		if _, err := t.Call(ctx, "tunnel_disconnect", host, n); err != nil {
			return err
		}
	}
	return t.Say(map[string]any{"host": host, "tunnels": names}, "disconnected %s from %s", host, text)
}
