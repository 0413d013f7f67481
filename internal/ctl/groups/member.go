package groups

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// change is what `group add` and `group remove` do with their members.
type change struct {
	method, did, would string
	has                bool // it is for those that are in the group now
}

var (
	adding   = change{"objectToGroup_createObjects", "added", "add", false}
	removing = change{"objectToGroup_deleteObjects", "removed", "remove", true}
)

func (t command) addCommand() *cobra.Command {
	return t.memberCommand(adding, "add GROUP [MEMBER...]", "Put hosts or products into a group")
}

func (t command) removeCommand() *cobra.Command {
	return t.memberCommand(removing, "remove GROUP [MEMBER...]", "Take hosts or products out of a group")
}

func (t command) memberCommand(ch change, use, short string) *cobra.Command {
	var k kind
	var hosts selection.Hosts
	var w tool.Writing
	c := &cobra.Command{
		Use: use, Args: tool.Args, Short: short,
		Long: short + `. Hosts are named, or chosen by a condition; products
are named.`,
		Example: "  fernwerk group " + ch.would + " branch --where 'ip = 10.3.*'",
		RunE: func(c *cobra.Command, given []string) error {
			if !k.products {
				hosts.Names = append(hosts.Names, given[1:]...)
				if err := hosts.Check(c); err != nil {
					return err
				}
			} else if hosts.Where != "" || len(hosts.Names) > 0 || len(given) == 1 {
				return tool.Misused(c, "cannot run %q: products are named one by one", c.CommandPath())
			}
			return t.change(c.Context(), ch, k, given[0], given[1:], hosts, w)
		},
	}
	k.add(c)
	hosts.Add(c)
	w.Add(c)
	return c
}

func (t command) change(ctx context.Context, ch change, k kind, group string, members []string, hosts selection.Hosts, w tool.Writing) error {
	if _, err := t.find(ctx, k, group); err != nil {
		return err
	}
	var err error
	if k.products {
		err = t.known(ctx, members)
	} else {
		members, err = hosts.Clients(ctx, t.Tool)
	}
	if err != nil {
		return err
	}
	there, err := t.members(ctx, k, group)
	if err != nil {
		return err
	}
	members = slices.DeleteFunc(members, func(m string) bool { return slices.Contains(there, m) != ch.has })
	said := map[string]any{"group": group, ch.did: members, "dryRun": w.DryRun}
	if len(members) == 0 {
		said[ch.did] = []string{}
		return t.Say(said, "nothing to %s", ch.would)
	}
	if w.DryRun {
		return t.Say(said, "would %s: %s", ch.would, selection.Say(members))
	}
	if err := t.Confirm(w.Yes || !hosts.Open(), fmt.Sprintf("%s %s (group %s)", ch.would, selection.Say(members), group)); err != nil {
		return err
	}
	objects := make([]any, len(members))
	for i, m := range members {
		objects[i] = map[string]any{"type": "ObjectToGroup", "groupType": k.groupType(), "groupId": group, "objectId": m}
	}
	if _, err := t.Call(ctx, ch.method, objects); err != nil {
		return err
	}
	return t.Say(said, "%s: %s", ch.did, selection.Say(members))
}

// known refuses products that no depot has, so that no slip of the pen waits in
// a group for ever.
func (t command) known(ctx context.Context, products []string) error {
	for i, p := range products {
		products[i] = strings.ToLower(p)
		n, err := t.Count(ctx, "product", fleet.Filter{"id": products[i]})
		if err == nil && n == 0 {
			err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find product %s", p), "list all with: fernwerk product list")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
