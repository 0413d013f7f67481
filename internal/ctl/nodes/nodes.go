// Package nodes is node types, the kinds of machines that hosts join as, and the
// names of nodes. A node type says where the addresses and names of its nodes
// come from, what their tunnels lead to, and how they stand in a scheduler.
package nodes

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands are node-type and dns.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	types := &cobra.Command{Use: "node-type", Short: "Node types: addresses, names, tunnels and schedulers of nodes"}
	types.AddCommand(c.listCommand(), c.showCommand(), c.createCommand(), c.setCommand(), c.deleteCommand())
	names := &cobra.Command{Use: "dns", Short: "Names that the server answers for"}
	names.AddCommand(c.namesCommand())
	return []*cobra.Command{types, names}
}

// find is one node type.
func (t command) find(ctx context.Context, id string) (fleet.Row, error) {
	rows, err := t.Objects(ctx, fleet.NodeTypes.Name, fleet.Filter{"id": id})
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.Str("id") == id { // an id may hold a "*"
			return r, nil
		}
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find node type %q", id), "list all with: fernwerk node-type list")
}

// want is what the flags say of a node type.
type want struct {
	texts map[string]*string
	lists map[string]*[]string
	lan   bool
}

// setting is a flag, the attribute that it sets, and what it says.
type setting struct{ flag, attribute, usage string }

var texts = []setting{
	{"description", "description", "what people call it"},
	{"range", "addressRange", "`PREFIX` that tunnel addresses are taken of, such as 10.134.0.0/16"},
	{"names", "namePattern", "`PATTERN` of names; {a} and {b} are the last two bytes of the address (default TYPE-{a}-{b})"},
	{"domain", "domain", "`DOMAIN` behind the names"},
	{"search", "searchDomain", "`DOMAIN` that nodes search for short names"},
	{"tunnel", "tunnel", "`WAY`: openvpn, mesh, both or none"},
	{"dead-name", "deadName", "what becomes of a name while its node is down: keep or remove"},
	{"scheduler", "scheduler", "`KIND`: oar, slurm, exec or none"},
	{"resources", "resources", "one resource a core or a node"},
}

var lists = []setting{
	{"group", "groups", "host `GROUP` that nodes of the type join; may be repeated"},
	{"route", "routes", "`PREFIX` that the tunnel leads to; may be repeated"},
	{"dns-server", "dnsServers", "`ADDRESS` that nodes ask for names; may be repeated"},
	{"property", "properties", "`KEY=VALUE` for the scheduler; may be repeated"},
}

// words complete flags that take one of a few.
var words = map[string][]string{
	"tunnel": {"openvpn", "mesh", "both", "none"}, "dead-name": {"keep", "remove"},
	"scheduler": {"oar", "slurm", "exec", "none"}, "resources": {"core", "node"},
}

func (w *want) add(c *cobra.Command) {
	w.texts, w.lists = map[string]*string{}, map[string]*[]string{}
	for _, s := range texts {
		w.texts[s.attribute] = c.Flags().String(s.flag, "", s.usage)
	}
	for _, s := range lists {
		w.lists[s.attribute] = c.Flags().StringArray(s.flag, nil, s.usage)
	}
	c.Flags().BoolVar(&w.lan, "lan-direct", false, "answer a node's LAN address to its neighbours in that LAN")
	for flag, all := range words {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp))
	}
}

// given are the attributes whose flags were given. A list of one empty text is an
// empty list.
func (w *want) given(flags *pflag.FlagSet) fleet.Row {
	r := fleet.Row{}
	for _, s := range texts {
		if flags.Changed(s.flag) {
			r[s.attribute] = *w.texts[s.attribute]
		}
	}
	for _, s := range lists {
		if !flags.Changed(s.flag) {
			continue
		}
		list := []any{}
		for _, v := range *w.lists[s.attribute] {
			if v = strings.TrimSpace(v); v != "" {
				list = append(list, v)
			}
		}
		r[s.attribute] = list
	}
	if flags.Changed("lan-direct") {
		r["lanDirect"] = w.lan
	}
	return r
}
