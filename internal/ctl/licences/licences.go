// Package licences is licence pools, the licences in them, and the seats that
// clients have: who uses what, what is free, and reserving and giving back by
// hand.
package licences

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is licence.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	licence := &cobra.Command{Use: "licence", Aliases: []string{"license"}, Short: "Licence pools: list, usage, reserve, release"}
	licence.AddCommand(c.listCommand(), c.showCommand(), c.usageCommand(), c.reserveCommand(), c.releaseCommand())
	return []*cobra.Command{licence}
}

// pools are the usage of pools as the server tells it, of all if none is named.
func (t command) pools(ctx context.Context, ids ...string) ([]map[string]any, error) {
	list, err := rpc.As[[]any](t.Call(ctx, "licensePool_getUsage", ids))
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out, nil
}

func (t command) pool(ctx context.Context, id string) (map[string]any, error) {
	pools, err := t.pools(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(pools) != 1 || id == "" {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find licence pool %q", id), "list all with: fernwerk licence list")
	}
	return pools[0], nil
}

// limit is a number of seats in words: null is no limit.
func limit(v any) any {
	if v == nil {
		return "any"
	}
	return v
}

// rows are the maps of a nested list.
func rows(v any) []fleet.Row {
	list, _ := v.([]any)
	out := []fleet.Row{}
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
