package tool

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// completionTime bounds how long a shell waits for words from the server.
const completionTime = 2 * time.Second

// wanted is a word that the shell wants completed.
type wanted struct {
	command *cobra.Command
	named   map[string]string // the arguments before it, by their names in Use
	begun   string
}

// column is where words are in the server's objects; narrow may say which.
type column struct {
	class, name string
	narrow      func(wanted, fleet.Filter)
}

var (
	hosts      = column{"host", "id", nil}
	clients    = column{"host", "id", func(_ wanted, f fleet.Filter) { f["type"] = fleet.OpsiClient }}
	depots     = column{"host", "id", func(_ wanted, f fleet.Filter) { f["type"] = []string{fleet.OpsiDepotserver, fleet.OpsiConfigserver} }}
	hostGroups = column{"group", "id", func(_ wanted, f fleet.Filter) { f["type"] = fleet.HostGroup }}
	groups     = column{"group", "id", func(w wanted, f fleet.Filter) { f["type"] = pick(w, fleet.ProductGroup, fleet.HostGroup) }}
	parameters = column{"config", "id", nil}
	nodeTypes  = column{"nodeType", "id", nil}
	pools      = column{"licensePool", "id", nil}
	products   = column{"productOnDepot", "productId", func(w wanted, f fleet.Filter) {
		if depot := w.named["DEPOT"]; depot != "" {
			f["depotId"] = depot
		}
	}}
	properties = column{"productProperty", "propertyId", func(w wanted, f fleet.Filter) { f["productId"] = w.named["PRODUCT"] }}
)

// arguments says what completes an argument, by its name in Use.
var arguments = map[string]column{
	"HOST": hosts, "OTHER": hosts, "DEPOT": depots, "FROM": depots, "TO": depots, "GROUP": groups,
	"NODETYPE": nodeTypes, "PARAMETER": parameters, "POOL": pools, "PRODUCT": products, "PROPERTY": properties,
}

// flags says what completes the value of a flag.
var flags = map[string]column{
	"host": clients, "depot": depots, "of": depots, "group": hostGroups, "in": groups, "node-type": nodeTypes, "node-types": nodeTypes, "product": products, "pool": pools,
}

// pick is one of two things by the flag --products.
func pick[T any](w wanted, products, hosts T) T {
	if f := w.command.Flags().Lookup("products"); f != nil && f.Value.String() == "true" {
		return products
	}
	return hosts
}

// Complete gives a command and all below it completion, by the names of their
// arguments and flags. What a command completes by itself stays. ValidArgs are
// the words for an argument that is no thing of the server's, such as ACTION.
func (t *Tool) Complete(c *cobra.Command) {
	for _, sub := range c.Commands() {
		t.Complete(sub)
	}
	words := c.ValidArgs
	c.ValidArgs = nil // cobra would offer them for every argument
	if c.ValidArgsFunction == nil && !c.HasSubCommands() {
		c.ValidArgsFunction = func(c *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
			return t.argument(c, given, begun, words)
		}
	}
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		from, known := flags[f.Name]
		if _, has := c.GetFlagCompletionFunc(f.Name); !known || has {
			return
		}
		_ = c.RegisterFlagCompletionFunc(f.Name, func(c *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
			before := ""
			if strings.HasSuffix(f.Value.Type(), "Slice") {
				before, begun = begun[:strings.LastIndex(begun, ",")+1], begun[strings.LastIndex(begun, ",")+1:]
			}
			found := t.find(wanted{c, named(c, given), begun}, from)
			for i := range found {
				found[i] = before + found[i]
			}
			return found, cobra.ShellCompDirectiveNoFileComp
		}) // it has none: that was asked above
	})
}

// argument completes the argument that comes after the given ones.
func (t *Tool) argument(c *cobra.Command, given []string, begun string, words []string) ([]string, cobra.ShellCompDirective) {
	names := strings.Fields(c.Use)[1:]
	if n := len(names); len(given) >= n && n > 0 && strings.Contains(names[n-1], "...") {
		given = given[:n-1] // one more of the last
	}
	if len(given) >= len(names) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	w := wanted{c, named(c, given), begun}
	name := strings.Trim(names[len(given)], "[].")
	from, known := arguments[name]
	switch {
	case name == "FILE":
		return nil, cobra.ShellCompDirectiveDefault
	case name == "DIR":
		return nil, cobra.ShellCompDirectiveFilterDirs
	case c.Name() == "create":
		return nil, cobra.ShellCompDirectiveNoFileComp // of a new thing nobody knows the name
	case name == "MEMBER":
		return t.find(w, pick(w, products, clients)), cobra.ShellCompDirectiveNoFileComp
	case name == "NUMBER":
		return t.numbers(w), cobra.ShellCompDirectiveNoFileComp
	case name == "USER":
		return t.listed(w, "account_list", "name"), cobra.ShellCompDirectiveNoFileComp
	case name == "TOKEN":
		return t.listed(w, "token_getObjects", "id"), cobra.ShellCompDirectiveNoFileComp
	case name == "PATH" && w.named["NODETYPE"] != "":
		return t.listed(w, "nodeFile_getObjects", "path", w.named["NODETYPE"]), cobra.ShellCompDirectiveNoFileComp
	case name == "REQUEST":
		return t.listed(w, "host_getPending", "id"), cobra.ShellCompDirectiveNoFileComp
	case known:
		return t.find(w, from), cobra.ShellCompDirectiveNoFileComp
	}
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool { return !strings.HasPrefix(word, begun) }), cobra.ShellCompDirectiveNoFileComp
}

// named are given arguments by their names in Use.
func named(c *cobra.Command, given []string) map[string]string {
	out := map[string]string{}
	for i, name := range strings.Fields(c.Use)[1:] {
		if i < len(given) {
			out[strings.Trim(name, "[].")] = given[i]
		}
	}
	return out
}

// find asks the server for words. Without one that answers at once there are
// none.
func (t *Tool) find(w wanted, from column) []string {
	f := fleet.Filter{from.name: w.begun + "*"}
	if from.narrow != nil {
		from.narrow(w, f)
	}
	return t.ask(w, from.name, func(ctx context.Context) ([]fleet.Row, error) {
		return t.Rows(ctx, from.class+"_getObjects", []any{from.name}, map[string]any(f))
	})
}

// listed are the words in the answer of a method, for those who may call it.
func (t *Tool) listed(w wanted, method, name string, args ...any) []string {
	return t.ask(w, name, func(ctx context.Context) ([]fleet.Row, error) {
		v, err := t.Call(ctx, method, args...)
		if err != nil {
			return nil, err
		}
		return rpc.Rows(v)
	})
}

// numbers are those of run-once updates.
func (t *Tool) numbers(w wanted) []string {
	return t.ask(w, "number", func(ctx context.Context) ([]fleet.Row, error) {
		v, err := t.Call(ctx, "update_getStatus")
		list, _ := v.([]any)
		var rows []fleet.Row
		for _, e := range list {
			if m, ok := e.(map[string]any); ok {
				rows = append(rows, m)
			}
		}
		return rows, err
	})
}

func (t *Tool) ask(w wanted, name string, call func(context.Context) ([]fleet.Row, error)) []string {
	t.In = strings.NewReader("") // nobody is asked for a password while he types
	parent := w.command.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionTime)
	defer cancel()
	rows, err := call(ctx)
	if err != nil {
		return nil
	}
	out := []string{}
	for _, r := range rows {
		if word := r.Str(name); strings.HasPrefix(word, w.begun) {
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return slices.Compact(out) // a product is on several depots
}
