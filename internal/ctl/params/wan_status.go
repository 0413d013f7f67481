package params

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) wanStatusCommand() *cobra.Command {
	var hosts selection.Hosts
	var partly bool
	c := &cobra.Command{
		Use: "status", Args: tool.Args,
		Short:   "Tell which clients are in WAN mode, which are not, and which half",
		Example: "  fernwerk wan status --partly",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := hosts.CheckSome(c); err != nil {
				return err
			}
			return t.wanStatus(c.Context(), hosts, partly)
		},
	}
	hosts.Add(c)
	c.Flags().BoolVar(&partly, "partly", false, "only those that are half in it")
	return c
}

// wanMode is how one client stands to WAN mode.
type wanMode struct {
	mode     string // on, off, partly
	switches map[string]any
}

// wanModes asks the server; no clients are all clients.
func (t command) wanModes(ctx context.Context, clients []string) (map[string]wanMode, error) {
	v, err := rpc.As[map[string]any](t.Call(ctx, "host_getWANMode", clients))
	if err != nil {
		return nil, err
	}
	out := map[string]wanMode{}
	for client, entry := range v {
		e, _ := entry.(map[string]any)
		mode, _ := e["mode"].(string)
		switches, _ := e["switches"].(map[string]any)
		out[client] = wanMode{mode, switches}
	}
	return out, nil
}

func (t command) wanStatus(ctx context.Context, hosts selection.Hosts, partly bool) error {
	clients := []string{}
	if !hosts.All() {
		var err error
		if clients, err = hosts.Clients(ctx, t.Tool); err != nil {
			return err
		}
	}
	modes, err := t.wanModes(ctx, clients)
	if err != nil {
		return err
	}
	rows := []fleet.Row{}
	count := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(modes)) {
		m := modes[id]
		count[m.mode]++
		if partly && m.mode != "partly" {
			continue
		}
		r := fleet.Row{"host": id, "mode": m.mode, "switches": m.switches}
		if !t.JSON {
			r["switches"] = ""
			if m.mode == "partly" {
				r["switches"] = shortly(m.switches)
			}
		}
		rows = append(rows, r)
	}
	if err := t.List(rows, "no clients", "host", "WAN mode=mode", "switches"); err != nil {
		return err
	}
	t.Remark("%d on, %d off, %d partly", count["on"], count["off"], count["partly"])
	if count["partly"] > 0 {
		t.Remark("put them right with: fernwerk wan enable --where 'wan = partly', or wan disable")
	}
	return nil
}

// shortly are the four switches in one cell.
func shortly(switches map[string]any) string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(switches)) {
		name := strings.TrimSuffix(strings.TrimPrefix(id, "opsiclientd.event_"), ".active")
		parts = append(parts, fmt.Sprintf("%s=%s", name, console.Cell(switches[id])))
	}
	return strings.Join(parts, " ")
}
