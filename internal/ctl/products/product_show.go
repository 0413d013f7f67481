package products

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/values"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) productShowCommand() *cobra.Command {
	var depot string
	c := &cobra.Command{
		Use: "show PRODUCT", Args: tool.Args,
		Short: "Show a product: its scripts, what it depends on, its properties, where it is installed",
		RunE: func(c *cobra.Command, given []string) error {
			return t.productShow(c.Context(), strings.ToLower(given[0]), strings.ToLower(depot))
		},
	}
	c.Flags().StringVar(&depot, "depot", "", "as this `DEPOT` has it (default: the first that has it)")
	return c
}

// onDepot is the product as a depot has it: its row with that version, and the
// filter for what belongs to it.
func (t command) onDepot(ctx context.Context, product, depot string) (fleet.Row, fleet.Filter, error) {
	f := fleet.Filter{"productId": product}
	if depot != "" {
		f["depotId"] = depot
	}
	there, err := t.Objects(ctx, "productOnDepot", f)
	if err != nil {
		return nil, nil, err
	}
	if len(there) == 0 {
		return nil, nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find product %s on a depot", product), "list all with: fernwerk product list")
	}
	version := fleet.Filter{"productVersion": there[0]["productVersion"], "packageVersion": there[0]["packageVersion"]}
	rows, err := t.Objects(ctx, "product", fleet.Filter{"id": product, "productVersion": version["productVersion"], "packageVersion": version["packageVersion"]})
	if err != nil {
		return nil, nil, err
	}
	if len(rows) != 1 {
		return nil, nil, fleet.Errorf(fleet.NotFound, "cannot find product %s %s-%s, which a depot has", product, version["productVersion"], version["packageVersion"])
	}
	version["productId"] = product
	rows[0]["depotId"], rows[0]["locked"] = there[0]["depotId"], there[0]["locked"]
	return rows[0], version, nil
}

func (t command) productShow(ctx context.Context, product, depot string) error {
	r, of, err := t.onDepot(ctx, product, depot)
	if err != nil {
		return err
	}
	properties, err := t.Objects(ctx, "productProperty", of)
	if err != nil {
		return err
	}
	dependencies, err := t.Objects(ctx, "productDependency", of)
	if err != nil {
		return err
	}
	states, err := t.Objects(ctx, "productOnClient", fleet.Filter{"productId": product})
	if err != nil {
		return err
	}
	count := map[string]int{}
	for _, s := range states {
		count[s.Str("installationStatus")]++
		if s.Str("actionResult") == "failed" {
			count["failed"]++
		}
		if a := s.Str("actionRequest"); a != "" && a != string(fleet.None) {
			count["requested"]++
		}
	}
	if t.JSON {
		r["properties"], r["dependencies"], r["clients"] = properties, dependencies, count
		return t.WriteJSON(r)
	}
	r["version"] = r.Str("productVersion") + "-" + r.Str("packageVersion")
	r["clients"] = fmt.Sprintf("%d installed, %d requested, %d failed", count["installed"], count["requested"], count["failed"])
	if err := t.Sheet(r, []string{"id", "version", "name", "description", "advice", "depotId", "locked", "priority", "licenseRequired",
		"setupScript", "uninstallScript", "updateScript", "alwaysScript", "onceScript", "customScript", "clients"}); err != nil {
		return err
	}
	if len(dependencies) > 0 {
		fmt.Fprintln(t.Out)
		for _, d := range dependencies {
			d["wants"] = strings.TrimSpace(console.Cell(d["requiredAction"]) + " " + console.Cell(d["requiredInstallationStatus"]))
		}
		if err := t.List(dependencies, "", "for=productAction", "needs=requiredProductId", "wants", "when=requirementType"); err != nil {
			return err
		}
	}
	if len(properties) > 0 {
		fmt.Fprintln(t.Out)
		return t.listProperties(properties)
	}
	return nil
}

func (t command) listProperties(rows []fleet.Row) error {
	if !t.JSON {
		for _, r := range rows {
			r["default"] = values.Say(r["defaultValues"])
			if r["value"] = ""; r["values"] != nil {
				r["value"] = values.Say(r["values"])
			}
		}
	}
	return t.List(rows, "no properties", "property=propertyId", "value", "default", "possible=possibleValues", "description")
}
