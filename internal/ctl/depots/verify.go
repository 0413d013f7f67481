package depots

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func (t command) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify DEPOT [PRODUCT]...", Args: tool.Args,
		Short: "Read the files of a depot and compare them with what was installed",
		Long: `Read all files of products on a depot and compare them with what was installed;
without PRODUCT of all products. Exit status 1: something differs.`,
		RunE: func(c *cobra.Command, given []string) error { return t.verify(c.Context(), given[0], given[1:]) },
	}
}

func (t command) verify(ctx context.Context, depot string, products []string) error {
	row, err := t.DepotRow(ctx, depot)
	if err != nil {
		return err
	}
	conn, done, err := t.Depot(ctx, row.Str("id"))
	if err != nil {
		return err
	}
	defer done()
	if len(products) == 0 {
		has, err := t.has(ctx, row.Str("id"))
		if err != nil {
			return err
		}
		products = sorted(has)
	}
	wrong := 0
	results := []fleet.Row{}
	for _, name := range products {
		var v fleet.Row
		if err := conn.Packages(ctx, "GET", name+"/verify", nil, 0, &v); err != nil {
			return err
		}
		results = append(results, v)
		if number(v["differing"]) > 0 {
			wrong++
		}
		if t.JSON {
			continue
		}
		fmt.Fprintf(t.Out, "%s  %d files, %d differ\n", name, number(v["files"]), number(v["differing"]))
		for _, d := range objects(v["differences"]) {
			fmt.Fprintf(t.Out, "  %v  %v\n", term.Clean(console.Cell(d["change"])), term.Clean(console.Cell(d["path"])))
		}
	}
	if t.JSON {
		if err := t.WriteJSON(results); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "%d of %d products on depot %s are not as they were installed", wrong, len(products), row.Str("id")),
			"install their packages again; or copy them from another depot: fernwerk depot sync")
	}
	return nil
}
