package command

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/tunnel"
)

// completeTunnels offers the tunnels that are known here.
func completeTunnels(dataDir *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, _ := tunnel.Statuses(*dataDir)
		return slices.Sorted(maps.Keys(all)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeUpdates offers the numbers that the running agent knows, then the given words.
func completeUpdates(dataDir *string, then ...string) cobra.CompletionFunc {
	return func(c *cobra.Command, given []string, _ string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
		switch len(given) {
		case 0:
			if client, err := dial(*dataDir); err == nil {
				all, _ := client.Updates(c.Context())
				for _, u := range all {
					out = append(out, cobra.CompletionWithDesc(u.Number, u.ID))
				}
			}
		case 1:
			out = then
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
