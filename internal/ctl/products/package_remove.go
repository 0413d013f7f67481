package products

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/spf13/cobra"
)

func (t command) packageRemoveCommand() *cobra.Command {
	var w tool.Writing
	var depot string
	var force bool
	c := &cobra.Command{
		Use: "remove PRODUCT", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Remove a product from a depot",
		RunE: func(c *cobra.Command, given []string) error {
			return t.packageRemove(c.Context(), given[0], depot, force, w)
		},
	}
	w.Add(c)
	t.DepotFlag(c, &depot)
	c.Flags().BoolVar(&force, "force", false, "also if somebody locked the product")
	return c
}

func (t command) packageRemove(ctx context.Context, product, depot string, force bool, w tool.Writing) error {
	conn, done, err := t.Depot(ctx, depot)
	if err != nil {
		return err
	}
	defer done()
	if w.DryRun {
		return t.Say(map[string]any{"product": product, "dryRun": true}, "would remove %s from the depot", product)
	}
	if err := t.Confirm(w.Yes, "remove "+product+" from the depot"); err != nil {
		return err
	}
	var gone map[string]any
	if err := conn.Packages(ctx, "DELETE", product+forced(force), nil, 0, &gone); err != nil {
		return err
	}
	return t.Say(gone, "removed %s %s-%s", console.Cell(gone["product"]), console.Cell(gone["productVersion"]), console.Cell(gone["packageVersion"]))
}
