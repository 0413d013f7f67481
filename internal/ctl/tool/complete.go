package tool

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// completionTime bounds how long a shell waits for words from the server.
const completionTime = 2 * time.Second

// CompleteHost completes the first argument with the names of hosts. Without a
// server that answers at once there is nothing to complete.
func (t *Tool) CompleteHost(c *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return t.complete(c, "host", "id", fleet.Filter{"id": begun + "*"})
}

// CompleteProduct completes the first argument with products on depots.
func (t *Tool) CompleteProduct(c *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return t.complete(c, "productOnDepot", "productId", fleet.Filter{"productId": begun + "*"})
}

// CompleteParameter completes the first argument with host parameters.
func (t *Tool) CompleteParameter(c *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return t.complete(c, "config", "id", fleet.Filter{"id": begun + "*"})
}

func (t *Tool) complete(c *cobra.Command, class, column string, f fleet.Filter) ([]string, cobra.ShellCompDirective) {
	t.In = strings.NewReader("") // nobody is asked for a password while he types
	parent := c.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionTime)
	defer cancel()
	rows, err := t.Rows(ctx, class+"_getObjects", []any{column}, map[string]any(f))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, r := range rows {
		out = append(out, r.Str(column))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
