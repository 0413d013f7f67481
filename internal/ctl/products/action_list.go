package products

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) actionListCommand() *cobra.Command {
	var hosts, products []string
	var all bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List requested actions, and with --all also what came of earlier ones",
		RunE:  func(c *cobra.Command, _ []string) error { return t.actionList(c.Context(), hosts, products, all) },
	}
	c.Flags().StringSliceVar(&hosts, "host", nil, "of these hosts; * stands for any text")
	c.Flags().StringSliceVar(&products, "product", nil, "of these products; * stands for any text")
	c.Flags().BoolVar(&all, "all", false, "also products without a request")
	return c
}

func (t command) actionList(ctx context.Context, hosts, products []string, all bool) error {
	filter := map[string]any{}
	if len(hosts) > 0 {
		filter["clientId"] = hosts
	}
	if len(products) > 0 {
		filter["productId"] = products
	}
	if !all {
		filter["actionRequest"] = actions
	}
	rows, err := t.Objects(ctx, "productOnClient", fleet.Filter(filter))
	if err != nil {
		return err
	}
	for _, r := range rows {
		if v := r.Str("productVersion"); v != "" {
			r["version"] = v + "-" + r.Str("packageVersion")
		}
	}
	return t.List(rows, "no actions are requested", "host=clientId", "product=productId", "request=actionRequest",
		"status=installationStatus", "version", "last=lastAction", "result=actionResult", "progress=actionProgress")
}
