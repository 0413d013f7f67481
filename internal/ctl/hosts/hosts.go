package hosts

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) hostCommand() *cobra.Command {
	c := &cobra.Command{Use: "host", Short: "Hosts: list, create, change, delete, fire, wake, history, pending, revoke, clones"}
	show := &cobra.Command{
		Use: "show HOST", Args: tool.Args,
		Short: "Show one host, without its secrets",
		RunE:  func(c *cobra.Command, given []string) error { return t.hostShow(c.Context(), given[0]) },
	}
	c.AddCommand(t.hostListCommand(), show, t.hostWhyCommand(), t.hostCreateCommand(), t.hostChangeCommand(), t.hostRenameCommand(),
		t.hostDeleteCommand(), t.hostHistoryCommand(), t.hostFireCommand(), t.hostWakeCommand())
	c.AddCommand(t.joiningCommands()...)
	return c
}

func (t command) hostListCommand() *cobra.Command {
	var where selection.Hosts
	c := &cobra.Command{
		Use: "list [PATTERN]", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List hosts; in PATTERN * stands for any text",
		Example: "  fernwerk host list '*.branch.example.org'\n" +
			"  fernwerk host list --where 'last-seen > 30d and not installed = firefox'",
		RunE: func(c *cobra.Command, given []string) error {
			where.Names = append(where.Names, given...)
			if err := where.CheckSome(c); err != nil {
				return err
			}
			return t.hostList(c.Context(), where)
		},
	}
	where.Add(c)
	return c
}

func (t command) hostList(ctx context.Context, chosen selection.Hosts) error {
	filter := map[string]any{}
	if chosen.Where != "" {
		ids, err := chosen.Clients(ctx, t.Tool)
		if fleet.CodeOf(err) == fleet.NotFound {
			return t.List(nil, "no host meets the condition")
		}
		if err != nil {
			return err
		}
		filter["id"] = ids
	} else if len(chosen.Names) > 0 {
		filter["id"] = chosen.Names
	}
	rows, err := t.Rows(ctx, "host_getObjects", tool.HostAttributes(), filter)
	if err != nil {
		return err
	}
	return t.List(rows, "no hosts", "host=id", "type", "description", "address=ipAddress", "last seen=lastSeen")
}

// host is one host.
func (t command) host(ctx context.Context, id string) (fleet.Row, error) {
	if err := fleet.ValidHostID(id); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot find the host: %w", err)
	}
	rows, err := t.Rows(ctx, "host_getObjects", tool.HostAttributes(), map[string]any{"id": id})
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find host %s", id), "list all with: fernwerk host list")
	}
	return rows[0], nil
}

func (t command) hostShow(ctx context.Context, id string) error {
	r, err := t.host(ctx, id)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(r))
	for _, name := range tool.HostAttributes() {
		names = append(names, name.(string))
	}
	return t.Sheet(r, append([]string{"type"}, names...))
}
