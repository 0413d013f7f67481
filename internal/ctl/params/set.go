package params

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/values"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) setCommand() *cobra.Command {
	var g values.Target
	var w tool.Writing
	c := &cobra.Command{
		Use: "set PARAMETER VALUE...", Args: tool.Args,
		Short: "Set a host parameter",
		Long: `Set a host parameter for hosts, for the clients of a depot, or as the default of
all that have no other value. What concerns more hosts than are named is asked
about first, unless --yes is given.`,
		Example: "  fernwerk param set clientconfig.depot.protocol webdav --where 'group = branch'\n" +
			"  fernwerk param set opsiclientd.event_timer.active true --host pc1.example.org",
		RunE: func(c *cobra.Command, given []string) error {
			if err := g.Check(c); err != nil {
				return err
			}
			if g.Defaults {
				return t.setDefault(c.Context(), given[0], given[1:], w)
			}
			return t.set(c.Context(), given[0], given[1:], g, w)
		},
	}
	g.Add(c)
	c.Flags().BoolVar(&g.Defaults, "default", false, "the default of all hosts")
	w.Add(c)
	return c
}

func (t command) set(ctx context.Context, id string, texts []string, g values.Target, w tool.Writing) error {
	p, err := t.find(ctx, id)
	if err != nil {
		return err
	}
	set, err := values.Read(p.Row, p.id(), texts)
	if err != nil {
		return err
	}
	objects, err := g.Objects(ctx, t.Tool)
	if err != nil {
		return err
	}
	said := map[string]any{"parameter": p.id(), "values": set, "objects": objects, "dryRun": w.DryRun}
	what := fmt.Sprintf("set %s to %s for %s", p.id(), values.Say(set), g.Say(objects))
	if w.DryRun {
		return t.Say(said, "would %s", what)
	}
	if err := t.Confirm(w.Yes || !g.Asks(), what); err != nil {
		return err
	}
	states := make([]any, len(objects))
	for i, o := range objects {
		states[i] = map[string]any{"type": "ConfigState", "configId": p.id(), "objectId": o, "values": set}
	}
	if _, err := t.Call(ctx, "configState_createObjects", states); err != nil {
		return err
	}
	return t.Say(said, "%s", what)
}

func (t command) setDefault(ctx context.Context, id string, texts []string, w tool.Writing) error {
	p, err := t.find(ctx, id)
	if err != nil {
		return err
	}
	set, err := values.Read(p.Row, p.id(), texts)
	if err != nil {
		return err
	}
	followers, all, err := t.followers(ctx, p.id())
	if err != nil {
		return err
	}
	said := map[string]any{"parameter": p.id(), "defaultValues": set, "followers": followers, "dryRun": w.DryRun}
	what := fmt.Sprintf("set the default of %s from %s to %s: %d of %d clients have no value of their own", p.id(), values.Say(p.Row["defaultValues"]), values.Say(set), followers, all)
	if w.DryRun {
		return t.Say(said, "would %s", what)
	}
	if err := t.Confirm(w.Yes, what); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "config_updateObject", map[string]any{"type": p.Row["type"], "id": p.id(), "defaultValues": set}); err != nil {
		return err
	}
	return t.Say(said, "%s", what)
}

// followers counts the clients without a value of their own, and all.
func (t command) followers(ctx context.Context, id string) (followers, all int64, err error) {
	clients, err := t.Rows(ctx, "host_getObjects", []any{"id"}, map[string]any{"type": fleet.OpsiClient})
	if err != nil {
		return 0, 0, err
	}
	states, err := t.Objects(ctx, "configState", fleet.Filter{"configId": id})
	if err != nil {
		return 0, 0, err
	}
	own := map[string]bool{}
	for _, s := range states {
		own[s.Str("objectId")] = true
	}
	for _, c := range clients {
		if all++; !own[c.Str("id")] {
			followers++
		}
	}
	return followers, all, nil
}
