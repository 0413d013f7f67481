package products

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/values"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

func (t command) propertyCommand() *cobra.Command {
	c := &cobra.Command{Use: "property", Short: "The properties of products: list, set, unset"}
	c.AddCommand(t.propertyListCommand(), t.propertySetCommand(), t.propertyUnsetCommand())
	return c
}

func (t command) propertyListCommand() *cobra.Command {
	var host string
	c := &cobra.Command{
		Use: "list PRODUCT", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List a product's properties, or the values that count for a host",
		RunE: func(c *cobra.Command, given []string) error {
			return t.propertyList(c.Context(), strings.ToLower(given[0]), strings.ToLower(host))
		},
	}
	c.Flags().StringVar(&host, "host", "", "the values that count for this `HOST`")
	return c
}

func (t command) propertyList(ctx context.Context, product, host string) error {
	_, of, err := t.onDepot(ctx, product, "")
	if err != nil {
		return err
	}
	rows, err := t.Objects(ctx, "productProperty", of)
	if err != nil {
		return err
	}
	if host != "" {
		all, err := rpc.As[map[string]any](t.Call(ctx, "productPropertyState_getValues", []any{product}, []any{}, []any{host}))
		if err != nil {
			return err
		}
		products, known := all[host].(map[string]any)
		if !known {
			return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find host %s", host), "list all with: fernwerk host list")
		}
		counting, _ := products[product].(map[string]any)
		for _, r := range rows {
			r["values"] = counting[r.Str("propertyId")]
		}
	}
	return t.listProperties(rows)
}

// property is the definition of a product's property.
func (t command) property(ctx context.Context, product, id string) (fleet.Row, error) {
	_, of, err := t.onDepot(ctx, product, "")
	if err != nil {
		return nil, err
	}
	rows, err := t.Objects(ctx, "productProperty", of)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range rows {
		if r.Str("propertyId") == id {
			return r, nil
		}
		names = append(names, r.Str("propertyId"))
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find property %q of %s%s", id, product, nearest.Phrase(id, names)),
		"list all with: fernwerk product property list %s", product)
}

func (t command) propertySetCommand() *cobra.Command {
	var g values.Target
	var w tool.Writing
	c := &cobra.Command{
		Use: "set PRODUCT PROPERTY VALUE...", Args: tool.Args,
		Short:   "Set a property of a product, for hosts or for the clients of a depot",
		Example: "  fernwerk product property set firefox language de --where 'group = branch'",
		RunE: func(c *cobra.Command, given []string) error {
			if err := g.Check(c); err != nil {
				return err
			}
			return t.propertySet(c.Context(), strings.ToLower(given[0]), strings.ToLower(given[1]), given[2:], g, w)
		},
	}
	g.Add(c)
	w.Add(c)
	return c
}

func (t command) propertySet(ctx context.Context, product, id string, texts []string, g values.Target, w tool.Writing) error {
	p, err := t.property(ctx, product, id)
	if err != nil {
		return err
	}
	set, err := values.Read(p, product+" "+id, texts)
	if err != nil {
		return err
	}
	return t.propertyStates(ctx, fleet.Row{"productId": product, "propertyId": id, "values": set}, "productPropertyState_createObjects",
		"set", "set", fmt.Sprintf("%s of %s to %s for", id, product, values.Say(set)), g, w)
}

func (t command) propertyUnsetCommand() *cobra.Command {
	var g values.Target
	var w tool.Writing
	c := &cobra.Command{
		Use: "unset PRODUCT PROPERTY", Args: tool.Args,
		Short: "Take away values of a property, so that those of the level above count again",
		RunE: func(c *cobra.Command, given []string) error {
			if err := g.Check(c); err != nil {
				return err
			}
			product, id := strings.ToLower(given[0]), strings.ToLower(given[1])
			return t.propertyStates(c.Context(), fleet.Row{"productId": product, "propertyId": id}, "productPropertyState_deleteObjects",
				"take", "took", fmt.Sprintf("away %s of %s from", id, product), g, w)
		},
	}
	g.Add(c)
	w.Add(c)
	return c
}

// propertyStates makes or deletes a property's values.
func (t command) propertyStates(ctx context.Context, state fleet.Row, method, verb, did, what string, g values.Target, w tool.Writing) error {
	objects, err := g.Objects(ctx, t.Tool)
	if err != nil {
		return err
	}
	said := map[string]any{"product": state["productId"], "property": state["propertyId"], "values": state["values"], "objects": objects, "dryRun": w.DryRun}
	what += " " + g.Say(objects)
	if w.DryRun {
		return t.Say(said, "would %s %s", verb, what)
	}
	if err := t.Confirm(w.Yes || !g.Asks(), verb+" "+what); err != nil {
		return err
	}
	rows := make([]any, len(objects))
	for i, o := range objects {
		r := state.Clone()
		r["type"], r["objectId"] = "ProductPropertyState", o
		rows[i] = map[string]any(r)
	}
	if _, err := t.Call(ctx, method, rows); err != nil {
		return err
	}
	return t.Say(said, "%s %s", did, what)
}
