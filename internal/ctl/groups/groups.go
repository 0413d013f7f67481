// Package groups is host groups and product groups: a tree of names, and what
// is in them. Groups choose hosts for commands (--where 'group = branch'),
// bind operators, and say which products an event processes.
package groups

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is group.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	group := &cobra.Command{Use: "group", Short: "Groups of hosts and of products: list, create, fill, delete"}
	group.AddCommand(c.listCommand(), c.showCommand(), c.createCommand(), c.deleteCommand(), c.addCommand(), c.removeCommand())
	return []*cobra.Command{group}
}

// kind is the flag that says which of the two kinds of groups is meant.
type kind struct{ products bool }

func (k *kind) add(c *cobra.Command) {
	c.Flags().BoolVar(&k.products, "products", false, "a group of products, not of hosts")
}

func (k *kind) groupType() string {
	if k.products {
		return fleet.ProductGroup
	}
	return fleet.HostGroup
}

// find is one group.
func (t command) find(ctx context.Context, k kind, id string) (fleet.Row, error) {
	rows, err := t.Objects(ctx, "group", fleet.Filter{"type": k.groupType(), "id": id})
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.Str("id") == id { // an id may hold a "*"
			return r, nil
		}
	}
	hint := "list all with: fernwerk group list"
	if k.products {
		hint += " --products"
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find group %q", id), "%s", hint)
}

// members are the ids of what is in a group itself.
func (t command) members(ctx context.Context, k kind, id string) ([]string, error) {
	rows, err := t.Objects(ctx, "objectToGroup", fleet.Filter{"groupType": k.groupType(), "groupId": id})
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, r := range rows {
		if r.Str("groupId") == id {
			out = append(out, r.Str("objectId"))
		}
	}
	return out, nil
}
