package ctl

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t *tool) productCommand() *cobra.Command {
	c := &cobra.Command{Use: "product", Short: "The products on the depots"}
	c.AddCommand(&cobra.Command{
		Use: "list [PATTERN]", Aliases: []string{"ls"}, Args: args,
		Short: "List products on depots; in PATTERN * stands for any text",
		RunE:  func(c *cobra.Command, given []string) error { return t.productList(c.Context(), given) },
	})
	return c
}

func (t *tool) productList(ctx context.Context, pattern []string) error {
	onDepot, products := fleet.Filter{}, fleet.Filter{}
	if len(pattern) > 0 {
		onDepot["productId"], products["id"] = pattern[0], pattern[0]
	}
	rows, err := t.objects(ctx, "productOnDepot", onDepot)
	if err != nil {
		return err
	}
	described, err := t.objects(ctx, "product", products)
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
