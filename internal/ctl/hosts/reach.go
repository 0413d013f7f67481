package hosts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) hostFireCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "fire HOST EVENT", Args: tool.Args,
		Short: "Make an event occur on a host, now",
		Long: `Make an event occur on a host, now, such as on_demand, which processes its action
requests. The host is reached by the message bus, wherever it is, or else at its
control port. In HOST * stands for any text; a pattern is asked about first, unless
--yes is given. What the event began goes on when this command has ended: see
"fernwerk host history".

Exit status 3: some hosts took it, some did not; 4: the one host is not reached.`,
		Example: "  fernwerk host fire pc1.example.org on_demand\n  fernwerk host fire '*.branch.example.org' timer --yes",
		RunE: func(c *cobra.Command, given []string) error {
			return t.reach(c.Context(), given[0], "fire "+given[1]+" on", "change", w, "hostControlSafe_fireEvent", given[1])
		},
	}
	w.Add(c)
	return c
}

func (t command) hostWakeCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "wake HOST", Args: tool.Args,
		Short: "Wake a machine by Wake-on-LAN",
		Long: `Wake a machine by Wake-on-LAN. Magic packets go to the broadcast addresses of the
server's configuration ([host_control.broadcast]); no machine answers them. In HOST *
stands for any text.`,
		Example: "  fernwerk host wake pc1.example.org",
		RunE: func(c *cobra.Command, given []string) error {
			return t.reach(c.Context(), given[0], "wake", "packets", w, wakeMethod)
		},
	}
	w.Add(c)
	return c
}

// wakeMethod sends magic packets: no host need be in reach.
const wakeMethod = "hostControlSafe_start"

// missed is the error for the one host at which it failed. Only if the host is
// out of reach is there something to wait for.
func (t command) missed(ctx context.Context, host, what, text, method string) error {
	code := fleet.Invalid
	if method != wakeMethod {
		there, err := rpc.As[map[string]any](t.Call(ctx, "hostControlSafe_reachable", []any{host}))
		if err != nil || there[host] != true {
			code = fleet.Unavailable
		}
	}
	if strings.HasPrefix(text, "cannot "+what) {
		return fleet.Errorf(code, "%s", text)
	}
	return fleet.Errorf(code, "cannot %s: %s", what, text)
}

// reach calls a hostControl method, whose last argument are the hosts, and shows
// what each host came to.
func (t command) reach(ctx context.Context, pattern, verb, result string, w tool.Writing, method string, args ...any) error {
	chosen := selection.Hosts{Names: []string{pattern}}
	ids, err := chosen.Clients(ctx, t.Tool)
	if err != nil {
		return err
	}
	what := verb + " " + selection.Say(ids)
	if w.DryRun {
		return t.Say(map[string]any{"hosts": ids, "dryRun": true}, "would %s", what)
	}
	if err := t.Confirm(w.Yes || !chosen.Open(), what); err != nil {
		return err
	}
	all, err := rpc.As[map[string]any](t.Call(ctx, method, append(args, ids)...))
	if err != nil {
		return err
	}
	rows, failed, last := []fleet.Row{}, 0, ""
	for _, id := range slices.Sorted(maps.Keys(all)) {
		one, _ := all[id].(map[string]any)
		if text, bad := one["error"].(string); bad {
			failed, last = failed+1, text
		}
		rows = append(rows, fleet.Row{"host": id, result: one["result"], "error": one["error"]})
	}
	if failed == 1 && len(all) == 1 {
		return t.missed(ctx, ids[0], what, last, method)
	}
	if err := t.List(rows, "nothing to do", "host", result, "error"); err != nil {
		return err
	}
	switch {
	case failed == len(all):
		return fmt.Errorf("none of %d hosts was reached", failed)
	case failed > 0:
		return &tool.Partly{Failed: failed, All: len(all)}
	}
	return nil
}
