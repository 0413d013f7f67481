package groups

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) listCommand() *cobra.Command {
	var k kind
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List groups, with what they lie in and how much is in them",
		RunE:  func(c *cobra.Command, _ []string) error { return t.list(c.Context(), k) },
	}
	k.add(c)
	return c
}

func (t command) list(ctx context.Context, k kind) error {
	rows, err := t.Objects(ctx, "group", fleet.Filter{"type": k.groupType()})
	if err != nil {
		return err
	}
	memberships, err := t.Objects(ctx, "objectToGroup", fleet.Filter{"groupType": k.groupType()})
	if err != nil {
		return err
	}
	members := map[string]int64{}
	for _, m := range memberships {
		members[m.Str("groupId")]++
	}
	for _, r := range rows {
		r["members"] = members[r.Str("id")]
	}
	return t.List(rows, "no groups", "group=id", "in=parentGroupId", "members", "description")
}

func (t command) showCommand() *cobra.Command {
	var k kind
	c := &cobra.Command{
		Use: "show GROUP", Args: tool.Args,
		Short: "Show a group and what is in it",
		RunE:  func(c *cobra.Command, given []string) error { return t.show(c.Context(), k, given[0]) },
	}
	k.add(c)
	return c
}

func (t command) show(ctx context.Context, k kind, id string) error {
	r, err := t.find(ctx, k, id)
	if err != nil {
		return err
	}
	members, err := t.members(ctx, k, id)
	if err != nil {
		return err
	}
	list := make([]any, len(members))
	for i, m := range members {
		list[i] = m
	}
	r["members"] = list
	return t.Sheet(r, []string{"id", "parentGroupId", "description", "notes", "members"})
}
