package groups

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) createCommand() *cobra.Command {
	var k kind
	var parent, description, notes string
	c := &cobra.Command{
		Use: "create GROUP", Args: tool.Args,
		Short:   "Create a group",
		Example: "  fernwerk group create branch --in country",
		RunE: func(c *cobra.Command, given []string) error {
			return t.create(c.Context(), k, fleet.Row{"type": k.groupType(), "id": given[0], "description": description, "notes": notes}, parent)
		},
	}
	k.add(c)
	c.Flags().StringVar(&parent, "in", "", "the `GROUP` that it lies in")
	c.Flags().StringVar(&description, "description", "", "what people call it")
	c.Flags().StringVar(&notes, "notes", "", "what else is to be known")
	return c
}

func (t command) create(ctx context.Context, k kind, r fleet.Row, parent string) error {
	id := r.Str("id")
	_, err := t.find(ctx, k, id)
	if err == nil {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot create group %q: it exists", id), "look at it with: fernwerk group show %s", id)
	}
	if fleet.CodeOf(err) != fleet.NotFound {
		return err
	}
	if parent != "" {
		if _, err := t.find(ctx, k, parent); err != nil {
			return err
		}
		r["parentGroupId"] = parent
	}
	if _, err := t.Call(ctx, "group_insertObject", map[string]any(r)); err != nil {
		return err
	}
	return t.Say(r, "created group %s", id)
}

func (t command) deleteCommand() *cobra.Command {
	var k kind
	var w tool.Writing
	c := &cobra.Command{
		Use: "delete GROUP", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Delete a group; what is in it stays",
		RunE:  func(c *cobra.Command, given []string) error { return t.delete(c.Context(), k, given[0], w) },
	}
	k.add(c)
	w.Add(c)
	return c
}

func (t command) delete(ctx context.Context, k kind, id string, w tool.Writing) error {
	r, err := t.find(ctx, k, id)
	if err != nil {
		return err
	}
	within, err := t.Objects(ctx, "group", fleet.Filter{"type": k.groupType(), "parentGroupId": id})
	if err != nil {
		return err
	}
	if len(within) > 0 {
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot delete group %q: group %q lies in it", id, within[0].Str("id")), "delete that first")
	}
	if w.DryRun {
		return t.Say(map[string]any{"deleted": id, "dryRun": true}, "would delete group %s", id)
	}
	if err := t.Confirm(w.Yes, "delete group "+id); err != nil {
		return err
	}
	ident := map[string]any{"type": r["type"], "id": r["id"]}
	if _, err := t.Call(ctx, "group_deleteObjects", []any{ident}); err != nil {
		return err
	}
	return t.Say(map[string]any{"deleted": id}, "deleted group %s", id)
}
