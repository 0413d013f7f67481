package params

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) wanCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "wan",
		Short: "WAN mode: enable, disable, status",
		Long: `WAN mode: clients that cache products and configuration in the background, and
install at a start without asking a server. It is four host parameters, which are
set together here, and always for hosts that are named or chosen, never for all by
an oversight.`,
	}
	c.AddCommand(t.wanSwitchCommand(true), t.wanSwitchCommand(false), t.wanStatusCommand())
	return c
}

func (t command) wanSwitchCommand(on bool) *cobra.Command {
	var hosts selection.Hosts
	var w tool.Writing
	var all bool
	name, short := "disable", "Take hosts out of WAN mode"
	if on {
		name, short = "enable", "Put hosts into WAN mode"
	}
	c := &cobra.Command{
		Use: name, Args: tool.Args, Short: short,
		Long: short + `: sets the four event switches at each of them, in one step. A choice that holds every
client of the server wants --all as well.`,
		Example: "  fernwerk wan " + name + " --where 'group = branch' --dry-run",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := hosts.Check(c); err != nil {
				return err
			}
			return t.wanSwitch(c.Context(), on, hosts, all, w)
		},
	}
	hosts.Add(c)
	c.Flags().BoolVar(&all, "all", false, "it may be every client that there is")
	w.Add(c)
	return c
}

func (t command) wanSwitch(ctx context.Context, on bool, hosts selection.Hosts, all bool, w tool.Writing) error {
	clients, err := hosts.Clients(ctx, t.Tool)
	if err != nil {
		return err
	}
	modes, err := t.wanModes(ctx, clients)
	if err != nil {
		return err
	}
	wanted := map[bool]string{true: "on", false: "off"}[on]
	changed := []string{}
	for _, id := range clients {
		if modes[id].mode != wanted {
			changed = append(changed, id)
		}
	}
	said := map[string]any{"enable": on, "hosts": clients, "changed": changed, "dryRun": w.DryRun}
	if len(changed) == 0 {
		return t.Say(said, "nothing to do: WAN mode is %s for all %d chosen", wanted, len(clients))
	}
	rest := fmt.Sprintf("WAN mode %s for %s (%d of %d chosen)", wanted, selection.Say(changed), len(changed), len(clients))
	if w.DryRun {
		return t.Say(said, "would switch %s", rest)
	}
	there, err := t.Count(ctx, "host", fleet.Filter{"type": fleet.OpsiClient})
	if err != nil {
		return err
	}
	if int64(len(clients)) >= there && there > 1 && !all {
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot switch WAN mode %s: that would be every client of this server (%d)", wanted, there),
			"choose fewer, or add --all if all are meant")
	}
	if err := t.Confirm(w.Yes || !hosts.Open(), "switch "+rest); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "changeWANConfig", on, clients); err != nil {
		return err
	}
	return t.Say(said, "switched %s", rest)
}
