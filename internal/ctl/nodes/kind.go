package nodes

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

func (t command) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List node types",
		RunE: func(c *cobra.Command, _ []string) error {
			rows, err := t.Objects(c.Context(), fleet.NodeTypes.Name, nil)
			if err != nil {
				return err
			}
			for _, r := range rows {
				if r["namePattern"] == "" && r["addressRange"] != nil {
					r["namePattern"] = node.DefaultPattern(r.Str("id"))
				}
			}
			return t.List(rows, "no node types", "type=id", "range=addressRange", "names=namePattern", "domain", "tunnel", "scheduler", "description")
		},
	}
}

func (t command) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NODETYPE", Args: tool.Args,
		Short: "Show a node type",
		RunE: func(c *cobra.Command, given []string) error {
			r, err := t.find(c.Context(), given[0])
			if err != nil {
				return err
			}
			return t.Sheet(r, fleet.NodeTypes.ColumnNames(""))
		},
	}
}

func (t command) createCommand() *cobra.Command {
	var w want
	var dry bool
	c := &cobra.Command{
		Use: "create NODETYPE", Args: tool.Args,
		Short: "Create a node type",
		Long: `Create a node type. With a range of addresses each of its nodes gets one
for its tunnels, and a name that follows from it: of 10.134.0.0/16 and the
pattern vnode-{a}-{b} the node 10.134.7.38 is called vnode-7-38. No other type
may have an address or a name of these, unless it has all of them.`,
		Example: "  fernwerk node-type create vnode --range 10.134.0.0/16 --domain grid.example.org \\\n" +
			"    --tunnel openvpn --scheduler oar --property besteffort=YES --route 192.0.2.0/26",
		RunE: func(c *cobra.Command, given []string) error {
			r := w.given(c.Flags())
			r["id"] = given[0]
			return t.create(c.Context(), r, dry)
		},
	}
	w.add(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "check it as the server would, and do nothing")
	return c
}

func (t command) create(ctx context.Context, r fleet.Row, dry bool) error {
	id := r.Str("id")
	_, err := t.find(ctx, id)
	if err == nil {
		return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot create node type %q: it exists", id), "change it with: fernwerk node-type set %s", id)
	}
	if fleet.CodeOf(err) != fleet.NotFound {
		return err
	}
	if err := t.check(ctx, r); err != nil {
		return err
	}
	if dry {
		return t.Say(map[string]any{"nodeType": r, "dryRun": true}, "would create node type %s", id)
	}
	if _, err := t.Call(ctx, "nodeType_insertObject", map[string]any(r)); err != nil {
		return err
	}
	return t.Say(r, "created node type %s", id)
}

// check is the server's own check: what --dry-run lets pass the server does too.
func (t command) check(ctx context.Context, r fleet.Row) error {
	decode := func(r fleet.Row) (nt fleet.NodeType, err error) {
		r = maps.Clone(r)
		delete(r, "type")
		delete(r, "ident")
		if r, err = fleet.NodeTypes.Check(r, fleet.Creating); err == nil {
			fleet.NodeTypes.Decode(r, &nt)
		}
		return nt, err
	}
	mine, err := decode(r)
	if err != nil {
		return err
	}
	rows, err := t.Objects(ctx, fleet.NodeTypes.Name, nil)
	if err != nil {
		return err
	}
	var others []fleet.NodeType
	for _, row := range rows {
		o, err := decode(row)
		if err != nil {
			return err
		}
		others = append(others, o)
	}
	return node.Check(mine, others)
}

func (t command) setCommand() *cobra.Command {
	var w want
	var writing tool.Writing
	c := &cobra.Command{
		Use: "set NODETYPE", Args: tool.Args,
		Short: "Change a node type",
		Long: `Change what the flags name of a node type. A list replaces the former one; an
empty text ("") empties it. Another range gives its nodes other addresses and
names when their tunnels come up next, so it is asked about. So is another tunnel
while nodes are up that would be in none then.`,
		Example: "  fernwerk node-type set vnode --lan-direct --dead-name remove",
		RunE: func(c *cobra.Command, given []string) error {
			r := w.given(c.Flags())
			if len(r) == 0 {
				return tool.Misused(c, "cannot run %q: nothing to change is named", c.CommandPath())
			}
			return t.set(c.Context(), given[0], r, writing)
		},
	}
	w.add(c)
	writing.Add(c)
	return c
}

func (t command) set(ctx context.Context, id string, change fleet.Row, w tool.Writing) error {
	was, err := t.find(ctx, id)
	if err != nil {
		return err
	}
	whole := maps.Clone(was)
	said := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(change)) {
		if !reflect.DeepEqual(change[name], was[name]) && !(change[name] == "" && was[name] == nil) {
			said[name] = map[string]any{"from": was[name], "to": change[name]}
		} else {
			delete(change, name)
		}
		if v, ok := change[name]; ok {
			whole[name] = v
		}
	}
	out := map[string]any{"nodeType": id, "changed": said, "dryRun": w.DryRun}
	if len(said) == 0 {
		return t.Say(out, "nothing to change")
	}
	if err := t.check(ctx, whole); err != nil {
		return err
	}
	text := ""
	for i, name := range slices.Sorted(maps.Keys(said)) {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s to %v", name, change[name])
	}
	uses, _ := change["tunnel"].(string)
	var cut []string
	if said["tunnel"] != nil {
		if cut, err = t.cut(ctx, id, uses); err != nil {
			return err
		}
		out["cut"] = cut
	}
	if w.DryRun && len(cut) > 0 {
		return t.Say(out, "would set %s of node type %s, and %s", text, id, cutText(cut, uses))
	}
	if w.DryRun {
		return t.Say(out, "would set %s of node type %s", text, id)
	}
	if len(cut) > 0 {
		if err := t.Confirm(w.Yes, cutText(cut, uses)); err != nil {
			return err
		}
	}
	moves := said["addressRange"] != nil || said["namePattern"] != nil || said["domain"] != nil
	if moves && was["addressRange"] != nil {
		if err := t.Confirm(w.Yes, "change the names of all nodes of type "+id); err != nil {
			return err
		}
	}
	change["id"] = id
	if _, err := t.Call(ctx, "nodeType_updateObject", map[string]any(change)); err != nil {
		return err
	}
	return t.Say(out, "set %s of node type %s", text, id)
}

func (t command) deleteCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "delete NODETYPE", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Delete a node type that no node is of",
		RunE:  func(c *cobra.Command, given []string) error { return t.delete(c.Context(), given[0], w) },
	}
	w.Add(c)
	return c
}

func (t command) delete(ctx context.Context, id string, w tool.Writing) error {
	if _, err := t.find(ctx, id); err != nil {
		return err
	}
	nodes, err := t.Rows(ctx, "presence_getObjects")
	if err != nil && fleet.CodeOf(err) != fleet.NotHere {
		return err
	}
	for _, n := range nodes {
		if n.Str("nodeType") == id {
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot delete node type %q: host %s is of it", id, n.Str("hostId")), "its name and its place in the scheduler would stay as they are; delete such hosts first")
		}
	}
	if w.DryRun {
		return t.Say(map[string]any{"deleted": id, "dryRun": true}, "would delete node type %s", id)
	}
	if err := t.Confirm(w.Yes, "delete node type "+id); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "nodeType_delete", id); err != nil {
		return err
	}
	return t.Say(map[string]any{"deleted": id}, "deleted node type %s", id)
}
