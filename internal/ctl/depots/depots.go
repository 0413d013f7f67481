// Package depots is the places that clients fetch software from: which there are,
// how one is added, what each has, and how they are kept equal.
package depots

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is depot.
func Commands(t *tool.Tool) []*cobra.Command {
	d := command{t}
	c := &cobra.Command{Use: "depot", Short: "Depot servers: add, compare, copy, lock"}
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List the depots",
		RunE:  func(c *cobra.Command, _ []string) error { return d.list(c.Context()) },
	}
	show := &cobra.Command{
		Use: "show DEPOT", Args: tool.Args,
		Short: "Show a depot and the products that it has",
		RunE:  func(c *cobra.Command, given []string) error { return d.show(c.Context(), given[0]) },
	}
	c.AddCommand(list, show, d.createCommand(), d.syncCommand(), d.lockCommand(true), d.lockCommand(false), d.verifyCommand())
	return []*cobra.Command{c}
}

func (t command) list(ctx context.Context) error {
	rows, err := t.Rows(ctx, "host_getObjects", tool.HostAttributes(), map[string]any{"type": []string{fleet.OpsiDepotserver, fleet.OpsiConfigserver}})
	if err != nil {
		return err
	}
	onDepot, err := t.Objects(ctx, "productOnDepot", nil)
	if err != nil {
		return err
	}
	for _, r := range rows {
		products, locked := 0, 0
		for _, p := range onDepot {
			if p["depotId"] == r["id"] {
				products++
				if p["locked"] == true {
					locked++
				}
			}
		}
		r["products"], r["locked"] = int64(products), int64(locked)
		r["address"] = address(r)
	}
	return t.List(rows, "no depots", "depot=id", "type", "address", "network=networkAddress", "products", "locked", "description")
}

// address is where clients reach a depot.
func address(r fleet.Row) string {
	return strings.TrimSuffix(strings.TrimPrefix(r.Str("depotWebdavUrl"), "webdavs://"), "/depot")
}

// product is what a depot has of one.
type product struct {
	version, digest string
	files, bytes    int64
	locked, busy    bool
	row             fleet.Row
}

// has is what a depot has, by product.
func (t command) has(ctx context.Context, depot string) (map[string]product, error) {
	rows, err := t.Objects(ctx, "productOnDepot", fleet.Filter{"depotId": depot})
	if err != nil {
		return nil, err
	}
	v, err := t.Call(ctx, "depotTree_getStates", depot)
	if err != nil {
		return nil, err
	}
	states, _ := v.(map[string]any)
	out := map[string]product{}
	for _, r := range rows {
		p := product{version: r.Str("productVersion") + "-" + r.Str("packageVersion"), locked: r["locked"] == true, row: r}
		for _, t := range objects(states["trees"]) {
			if t["product"] == r["productId"] && fmt.Sprint(t["productVersion"], "-", t["packageVersion"]) == p.version {
				p.digest, _ = t["digest"].(string)
				p.files, _ = t["files"].(int64)
				p.bytes, _ = t["bytes"].(int64)
			}
		}
		for _, i := range objects(states["intents"]) {
			p.busy = p.busy || i["product"] == r["productId"]
		}
		out[r.Str("productId")] = p
	}
	return out, nil
}

func objects(v any) (list []map[string]any) {
	all, _ := v.([]any)
	for _, e := range all {
		if m, ok := e.(map[string]any); ok {
			list = append(list, m)
		}
	}
	return list
}

func (t command) show(ctx context.Context, id string) error {
	row, err := t.DepotRow(ctx, id)
	if err != nil {
		return err
	}
	has, err := t.has(ctx, row.Str("id"))
	if err != nil {
		return err
	}
	var list []fleet.Row
	for _, name := range sorted(has) {
		p := has[name]
		state := ""
		switch {
		case p.busy:
			state = "being changed"
		case p.locked:
			state = "locked"
		case p.digest == "":
			state = "no files known"
		}
		list = append(list, fleet.Row{"product": name, "version": p.version, "files": p.files, "bytes": p.bytes, "size": term.Bytes(p.bytes),
			"state": state, "manifestDigest": p.digest})
	}
	if t.JSON {
		row["products"] = list
		return t.WriteJSON(row)
	}
	row["address"] = address(row)
	if err := t.Sheet(row, []string{"id", "type", "description", "address", "networkAddress", "isMasterDepot", "masterDepotId", "depotLocalUrl", "depotRemoteUrl", "repositoryRemoteUrl"}); err != nil {
		return err
	}
	fmt.Fprintln(t.Out)
	return t.List(list, "no products", "product", "version", "files", "size", "state")
}

func sorted(m map[string]product) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
