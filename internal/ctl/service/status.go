package service

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell whether the server answers, and how much it holds",
		Long:  "Tell whether the server answers, its version, its CA and how much it holds.",
		Args:  tool.Args,
		RunE:  func(c *cobra.Command, _ []string) error { return t.status(c.Context()) },
	}
}

func (t command) status(ctx context.Context) error {
	hosts, err := t.Count(ctx, "host", map[string]any{"type": fleet.OpsiClient})
	if err != nil {
		if fleet.CodeOf(err) == fleet.Unavailable {
			return fleet.WithHint(err, "is fernwerkd running there, and does the network let you through?")
		}
		return err
	}
	products, err := t.Count(ctx, "productOnDepot", map[string]any{})
	if err != nil {
		return err
	}
	r := fleet.Row{"hosts": hosts, "products": products}
	if c := t.Connection(); c != nil {
		r["server"], r["user"] = c.Account.Server, c.Account.User
		if r["version"], err = c.Greet(ctx); err != nil {
			return err
		}
		if r["caFingerprint"], err = c.Authority(ctx); err != nil {
			return err
		}
	}
	if !t.JSON {
		r["hosts"], r["products"] = strconv.FormatInt(hosts, 10), strconv.FormatInt(products, 10)
	}
	return t.Sheet(r, []string{"server", "user", "version", "caFingerprint", "hosts", "products"})
}
