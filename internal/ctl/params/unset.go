package params

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/values"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) unsetCommand() *cobra.Command {
	var g values.Target
	var w tool.Writing
	c := &cobra.Command{
		Use: "unset PARAMETER", Args: tool.Args,
		Short: "Take away values, so that those of the level above count again",
		RunE: func(c *cobra.Command, given []string) error {
			if err := g.Check(c); err != nil {
				return err
			}
			return t.unset(c.Context(), given[0], g, w)
		},
	}
	g.Add(c)
	w.Add(c)
	return c
}

func (t command) unset(ctx context.Context, id string, g values.Target, w tool.Writing) error {
	p, err := t.find(ctx, id)
	if err != nil {
		return err
	}
	objects, err := g.Objects(ctx, t.Tool)
	if err != nil {
		return err
	}
	states, err := t.Objects(ctx, "configState", fleet.Filter{"configId": p.id(), "objectId": objects})
	if err != nil {
		return err
	}
	with := []string{}
	idents := make([]any, len(states))
	for i, s := range states {
		with = append(with, s.Str("objectId"))
		idents[i] = map[string]any{"type": "ConfigState", "configId": p.id(), "objectId": s.Str("objectId")}
	}
	said := map[string]any{"parameter": p.id(), "objects": with, "dryRun": w.DryRun}
	if len(with) == 0 {
		return t.Say(said, "nothing to do: none has a value of its own")
	}
	rest := fmt.Sprintf("away the value of %s from %s", p.id(), g.Say(with))
	if w.DryRun {
		return t.Say(said, "would take %s", rest)
	}
	if err := t.Confirm(w.Yes || !g.Asks(), "take "+rest); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "configState_deleteObjects", idents); err != nil {
		return err
	}
	return t.Say(said, "took %s", rest)
}
