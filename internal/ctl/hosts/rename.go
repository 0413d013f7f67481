package hosts

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

func (t command) hostRenameCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "rename HOST NAME", Args: tool.Args,
		Short: "Give a client another name, with all that belongs to it",
		Long: `Give a client another name, with all that belongs to it. Its key stays. A machine
that logs in by its hardware address learns the new name by itself; any other has
to join anew.`,
		RunE: func(c *cobra.Command, given []string) error { return t.hostRename(c.Context(), given[0], given[1], w) },
	}
	w.Add(c)
	return c
}

func (t command) hostRename(ctx context.Context, from, to string, w tool.Writing) error {
	if _, err := t.host(ctx, from); err != nil {
		return err
	}
	said := map[string]any{"host": from, "newName": to, "dryRun": w.DryRun}
	if w.DryRun {
		return t.Say(said, "would rename %s to %s", from, to)
	}
	if err := t.Confirm(w.Yes, fmt.Sprintf("rename %s to %s", from, to)); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "host_renameOpsiClient", from, to); err != nil {
		return err
	}
	return t.Say(said, "renamed %s to %s", from, to)
}
