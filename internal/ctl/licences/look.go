package licences

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List licence pools, with their seats",
		RunE:  func(c *cobra.Command, _ []string) error { return t.list(c.Context()) },
	}
}

func (t command) list(ctx context.Context) error {
	pools, err := t.pools(ctx)
	if err != nil {
		return err
	}
	if t.JSON {
		return t.WriteJSON(pools)
	}
	out := make([]fleet.Row, len(pools))
	for i, p := range pools {
		without, _ := p["withoutSeat"].([]any)
		out[i] = fleet.Row{"pool": p["licensePoolId"], "products": p["productIds"], "seats": limit(p["seats"]), "used": p["used"],
			"reserved": p["reserved"], "free": limit(p["free"]), "unlicensed": int64(len(without))}
	}
	return t.List(out, "no licence pools", "pool", "products", "seats", "used", "reserved", "free", "unlicensed")
}

func (t command) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show POOL", Args: tool.Args,
		Short: "Show a pool's licences, and clients that use its software without a seat",
		RunE:  func(c *cobra.Command, given []string) error { return t.show(c.Context(), given[0]) },
	}
}

func (t command) show(ctx context.Context, id string) error {
	p, err := t.pool(ctx, id)
	if err != nil {
		return err
	}
	if t.JSON {
		return t.WriteJSON(p)
	}
	sheet := fleet.Row{"pool": p["licensePoolId"], "description": p["description"], "products": p["productIds"], "without a seat": p["withoutSeat"]}
	if err := t.Sheet(sheet, []string{"pool", "description", "products", "without a seat"}); err != nil {
		return err
	}
	licenses := rows(p["licenses"])
	for _, l := range licenses {
		l["maxInstallations"], l["free"] = limit(l["maxInstallations"]), limit(l["free"])
		if l["expired"] == true {
			l["expirationDate"] = "expired"
		}
	}
	fmt.Fprintln(t.Out)
	return t.List(licenses, "no licences in it", "licence=softwareLicenseId", "type", "seats=maxInstallations", "used", "reserved", "free", "host=boundToHost", "until=expirationDate")
}

func (t command) usageCommand() *cobra.Command {
	var client, pool string
	c := &cobra.Command{
		Use: "usage", Args: tool.Args,
		Short: "List who has which seat",
		RunE:  func(c *cobra.Command, _ []string) error { return t.usage(c.Context(), client, pool) },
	}
	c.Flags().StringVar(&client, "host", "", "of this host only")
	c.Flags().StringVar(&pool, "pool", "", "of this pool only")
	return c
}

func (t command) usage(ctx context.Context, client, pool string) error {
	f := fleet.Filter{}
	if client != "" {
		f["clientId"] = client
	}
	if pool != "" {
		f["licensePoolId"] = pool
	}
	seats, err := t.Objects(ctx, "licenseOnClient", f)
	if err != nil {
		return err
	}
	return t.List(seats, "no seats taken", "host=clientId", "pool=licensePoolId", "licence=softwareLicenseId", "notes")
}
