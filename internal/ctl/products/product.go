package products

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) productCommand() *cobra.Command {
	c := &cobra.Command{Use: "product", Short: "Products on depots: list, show, properties"}
	list := &cobra.Command{
		Use: "list [PATTERN]", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List products on depots; in PATTERN * stands for any text",
		RunE:  func(c *cobra.Command, given []string) error { return t.productList(c.Context(), given) },
	}
	c.AddCommand(list, t.productShowCommand(), t.propertyCommand())
	return c
}

func (t command) productList(ctx context.Context, pattern []string) error {
	onDepot, products := fleet.Filter{}, fleet.Filter{}
	if len(pattern) > 0 {
		onDepot["productId"], products["id"] = pattern[0], pattern[0]
	}
	rows, err := t.Objects(ctx, "productOnDepot", onDepot)
	if err != nil {
		return err
	}
	described, err := t.Objects(ctx, "product", products)
	if err != nil {
		return err
	}
	names := map[[3]string]any{}
	for _, p := range described {
		names[[3]string{p.Str("id"), p.Str("productVersion"), p.Str("packageVersion")}] = p["name"]
	}
	for _, r := range rows {
		version, pkg := r.Str("productVersion"), r.Str("packageVersion")
		r["name"], r["version"] = names[[3]string{r.Str("productId"), version, pkg}], version+"-"+pkg
	}
	return t.List(rows, "no products", "product=productId", "version", "name", "depot=depotId", "locked")
}
