// Package resources shows nodes in their schedulers: what shall be beside what
// is, and why they differ.
package resources

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

type command struct{ *tool.Tool }

// Commands is resource.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	resource := &cobra.Command{Use: "resource", Short: "Nodes in their schedulers: list, diff"}
	resource.AddCommand(&cobra.Command{
		Use: "list [HOST]...", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List nodes with what their schedulers say of them",
		Long: `List nodes with what their schedulers say of them, asked now: whether a node
shall take jobs, and the scheduler's own word for what it does. --json has all
properties.`,
		RunE: func(c2 *cobra.Command, hosts []string) error {
			return c.show(c2.Context(), "resource_getList", "no nodes that are for a scheduler", hosts)
		},
	}, &cobra.Command{
		Use: "diff [HOST]...", Args: tool.Args,
		Short: "List nodes that are not in their scheduler as they shall be, and why",
		RunE: func(c2 *cobra.Command, hosts []string) error {
			return c.show(c2.Context(), "resource_getDiff", "all nodes are as they shall be", hosts)
		},
	})
	return []*cobra.Command{resource}
}

func (t command) show(ctx context.Context, method, none string, hosts []string) error {
	var args []any
	if len(hosts) > 0 {
		args = append(args, hosts)
	}
	rows, err := t.Rows(ctx, method, args...)
	if err != nil {
		return err
	}
	if t.JSON {
		return t.WriteJSON(rows)
	}
	out := make([]fleet.Row, len(rows))
	for i, r := range rows {
		shall := "down"
		if r["up"] == true {
			shall = "up"
		}
		is := r["is"]
		if r["known"] != true && is == "" {
			is = "not there" // the scheduler was asked, and does not have it
		}
		out[i] = fleet.Row{"node": r["name"], "host": r["hostId"], "scheduler": r["scheduler"], "shall be": shall, "is": is, "why": r["why"]}
	}
	return t.List(out, none, "node", "host", "scheduler", "shall be", "is", "why")
}
