package hosts

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

func (t command) hostDeleteCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "delete HOST...", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Delete hosts, with all that the server knows of them",
		RunE:  func(c *cobra.Command, given []string) error { return t.hostDelete(c.Context(), given, w) },
	}
	w.Add(c)
	return c
}

func (t command) hostDelete(ctx context.Context, ids []string, w tool.Writing) error {
	for _, id := range ids { // all are there, or nothing is done
		if _, err := t.host(ctx, id); err != nil {
			return err
		}
	}
	if w.DryRun {
		return t.Say(map[string]any{"deleted": ids, "dryRun": true}, "would delete %s", selection.Say(ids))
	}
	if err := t.Confirm(w.Yes, fmt.Sprintf("delete %s", selection.Say(ids))); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "host_delete", ids); err != nil {
		return err
	}
	return t.Say(map[string]any{"deleted": ids}, "deleted %s", selection.Say(ids))
}
