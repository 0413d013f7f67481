package ctl

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/spf13/cobra"
)

func (t *tool) packageRemoveCommand() *cobra.Command {
	var w writing
	c := &cobra.Command{
		Use: "remove PRODUCT", Aliases: []string{"rm"}, Args: args,
		Short: "Remove a product from the server's depot",
		RunE:  func(c *cobra.Command, given []string) error { return t.packageRemove(c.Context(), given[0], w) },
	}
	w.add(c)
	return c
}

func (t *tool) packageRemove(ctx context.Context, product string, w writing) error {
	conn, err := t.server(ctx)
	if err != nil {
		return err
	}
	if w.dryRun {
		return t.Say(map[string]any{"wouldRemove": product}, "would remove %s from the depot", product)
	}
	if err := t.Confirm(w.yes, "remove "+product+" from the depot"); err != nil {
		return err
	}
	var gone map[string]any
	if err := conn.Packages(ctx, "DELETE", product, nil, 0, &gone); err != nil {
		return err
	}
	return t.Say(gone, "removed %s %s-%s", console.Cell(gone["product"]), console.Cell(gone["productVersion"]), console.Cell(gone["packageVersion"]))
}
