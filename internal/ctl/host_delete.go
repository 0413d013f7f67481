package ctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (t *tool) hostDeleteCommand() *cobra.Command {
	var w writing
	c := &cobra.Command{
		Use: "delete HOST...", Aliases: []string{"rm"}, Args: args,
		Short: "Delete hosts, with all that the server knows of them",
		RunE:  func(c *cobra.Command, given []string) error { return t.hostDelete(c.Context(), given, w) },
	}
	w.add(c)
	return c
}

func (t *tool) hostDelete(ctx context.Context, ids []string, w writing) error {
	for _, id := range ids { // all are there, or nothing is done
		if _, err := t.host(ctx, id); err != nil {
			return err
		}
	}
	if w.dryRun {
		return t.Say(map[string]any{"wouldDelete": ids}, "would delete %s", strings.Join(ids, ", "))
	}
	if err := t.Confirm(w.yes, fmt.Sprintf("delete %s", strings.Join(ids, ", "))); err != nil {
		return err
	}
	if _, err := t.call(ctx, "host_delete", ids); err != nil {
		return err
	}
	return t.Say(map[string]any{"deleted": ids}, "deleted %s", strings.Join(ids, ", "))
}
