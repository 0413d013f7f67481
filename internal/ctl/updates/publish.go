package updates

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

func (t command) publishCommand() *cobra.Command {
	var w tool.Writing
	ring := ""
	c := &cobra.Command{
		Use: "publish NUMBER", Args: tool.Args,
		Short: "Offer a signed update to a part of the fleet",
		Long: `Offer a signed update to a part of the fleet, and later to a larger one. Which
hosts are in the part is fixed by their names and the update's: a larger part
holds the smaller one.`,
		Example: "  fernwerk update publish 017 --ring 5%",
		RunE: func(c *cobra.Command, given []string) error {
			if ring == "" {
				return tool.Misused(c, "cannot publish update %s: to whom? Begin with --ring 5%%; --ring 100%% is everybody", given[0])
			}
			if _, err := update.ReadShare(ring); err != nil {
				return err
			}
			return t.publish(c.Context(), given[0], ring, w)
		},
	}
	c.Flags().StringVar(&ring, "ring", "", "the part of the fleet, such as 5%")
	w.Add(c)
	return c
}

func (t command) publish(ctx context.Context, number, ring string, w tool.Writing) error {
	if _, err := update.Number(number); err != nil {
		return err
	}
	if w.DryRun {
		return t.Say(map[string]any{"number": number, "ring": ring, "dryRun": true}, "would publish %s to %s", number, ring)
	}
	if err := t.Confirm(w.Yes, "have "+ring+" of the hosts run update "+number); err != nil {
		return err
	}
	return t.done(ctx, "published %s (%s) to %s: %d hosts", "update_publish", number, ring)
}

func (t command) withdrawCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "withdraw NUMBER", Args: tool.Args,
		Short: "Have hosts that did not run an update yet not run it",
		RunE: func(c *cobra.Command, given []string) error {
			if _, err := update.Number(given[0]); err != nil {
				return err
			}
			if w.DryRun {
				return t.Say(map[string]any{"number": given[0], "dryRun": true}, "would withdraw %s", given[0])
			}
			if err := t.Confirm(w.Yes, "withdraw update "+given[0]); err != nil {
				return err
			}
			return t.done(c.Context(), "withdrew %s (%s), published to %s: %d hosts are offered it", "update_withdraw", given[0])
		},
	}
	w.Add(c)
	return c
}

// done calls a method that answers with the update, and says so.
func (t command) done(ctx context.Context, words, method string, args ...any) error {
	v, err := t.Call(ctx, method, args...)
	if err != nil {
		return err
	}
	r, _ := v.(map[string]any)
	row := fleet.Row(r)
	return t.Say(r, words, row.Str("number"), row.Str("id"), row.Str("ring"), row["offered"])
}

func (t command) decideCommand() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: "decide NUMBER HOST DECISION", Args: tool.Args, ValidArgs: []string{update.Retry, update.Skip},
		Short:   "Say what a host does about an update that failed or was interrupted: retry or skip",
		Example: "  fernwerk update decide 017 pc1.example.org retry",
		RunE: func(c *cobra.Command, given []string) error {
			if err := tool.OneOf(c, "decision", given[2], []string{update.Retry, update.Skip}); err != nil {
				return err
			}
			if dryRun {
				rows, err := t.ask(c.Context(), given[0], given[1])
				if err != nil {
					return err
				}
				state := lastState(rows)
				if state == "" {
					return fleet.Errorf(fleet.NotFound, "cannot decide %s on %s: nothing was reported of it", given[0], given[1])
				}
				return t.Say(map[string]any{"dryRun": true, "number": given[0], "hostId": given[1], "decision": given[2], "state": state}, "would decide %s of %s on %s, where it is %s", given[2], given[0], given[1], state)
			}
			if _, err := t.Call(c.Context(), "update_decide", given[0], given[1], given[2]); err != nil {
				return err
			}
			return t.Say(map[string]any{"number": given[0], "hostId": given[1], "decision": given[2]}, "%s of %s on %s: the host hears it when it asks next", given[2], given[0], given[1])
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return c
}

// lastState is how an update stands on the one host that was asked for, "" if nothing
// is known.
func lastState(rows []fleet.Row) (state string) {
	for _, row := range rows {
		hosts, _ := row["hosts"].([]any)
		for _, h := range hosts {
			if m, ok := h.(map[string]any); ok {
				state = fleet.Row(m).Str("state")
			}
		}
	}
	return state
}

// ask is update_getStatus, whose objects hold others.
func (t command) ask(ctx context.Context, args ...any) (rows []fleet.Row, err error) {
	v, err := t.Call(ctx, "update_getStatus", args...)
	if err != nil {
		return nil, err
	}
	list, _ := v.([]any)
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, fleet.Errorf(fleet.Invalid, "cannot read the server's answer: an update is no object")
		}
		rows = append(rows, m)
	}
	return rows, nil
}
