// Package selection is how a command line says which hosts are meant: by name,
// by pattern, or by a condition.
//
//	--host pc1.example.org --host '*.branch.example.org'
//	--where 'group = branch and last-seen < 30d'
//
// Both may be given: then a host must be named and meet the condition. A host
// that is named and not there is an error, before anything is done. Conditions
// are those of fleet/where; the server finds the hosts.
package selection

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/where"
)

// Hosts are the flags that choose hosts.
type Hosts struct {
	Names []string
	Where string
}

// Add adds the flags to a command.
func (h *Hosts) Add(c *cobra.Command) {
	c.Flags().StringSliceVar(&h.Names, "host", nil, "the host, or several; in it * stands for any text")
	h.AddWhere(c)
}

// AddWhere adds --where alone, to a command whose arguments name hosts.
func (h *Hosts) AddWhere(c *cobra.Command) {
	c.Flags().StringVar(&h.Where, "where", "", "hosts that meet a `CONDITION`, such as 'group = branch and last-seen < 30d'")
	if err := c.RegisterFlagCompletionFunc("where", completeFact); err != nil {
		panic(err) // the flag was added two lines above
	}
}

// completeFact completes the word under way, if it may be a fact.
func completeFact(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	i := strings.LastIndexAny(begun, " (") + 1
	var out []string
	for _, k := range where.Table {
		name := strings.Replace(k.Name, "ID", "", 1)
		if strings.HasPrefix(name, begun[i:]) {
			out = append(out, begun[:i]+name+"\t"+k.Doc)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// Check refuses what would be no choice, and a condition that cannot be read.
func (h *Hosts) Check(c *cobra.Command) error {
	if len(h.Names) == 0 && h.Where == "" {
		return tool.Misused(c, "cannot run %q: no --host is named, and no --where given", c.CommandPath())
	}
	return h.CheckSome(c)
}

// CheckSome is Check for commands that mean all hosts where none is chosen.
func (h *Hosts) CheckSome(c *cobra.Command) error {
	if !c.Flags().Changed("where") {
		return nil
	}
	if _, err := where.Parse(h.Where); err != nil {
		return &console.Misuse{Text: err.Error(), Next: fleet.HintOf(err)}
	}
	return nil
}

// Open tells whether more hosts may be meant than are named.
func (h *Hosts) Open() bool {
	return h.Where != "" || slices.ContainsFunc(h.Names, func(n string) bool { return strings.Contains(n, "*") })
}

// All tells whether nothing narrows the choice.
func (h *Hosts) All() bool { return h.Where == "" && len(h.Names) == 0 }

// Clients are the ids of the clients that are meant, sorted: at least one.
func (h *Hosts) Clients(ctx context.Context, t *tool.Tool) ([]string, error) {
	var ids []string
	for _, name := range h.Names {
		rows, err := t.Rows(ctx, "host_getObjects", []any{"id"}, map[string]any{"id": strings.ToLower(name), "type": fleet.OpsiClient})
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find host %s", name), "list all with: fernwerk host list")
		}
		for _, r := range rows {
			ids = append(ids, r.Str("id"))
		}
	}
	if h.Where != "" {
		meet, err := rpc.As[[]any](t.Call(ctx, "host_select", h.Where))
		if err != nil {
			return nil, err
		}
		if len(h.Names) == 0 {
			for _, id := range meet {
				ids = append(ids, fmt.Sprint(id))
			}
		} else {
			ids = slices.DeleteFunc(ids, func(id string) bool { return !slices.Contains(meet, any(id)) })
		}
		if len(ids) == 0 {
			return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find a host that meets the condition"), "try it with: fernwerk host list --where CONDITION")
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// mostNamed is how many hosts are named in a question.
const mostNamed = 5

// Say words which hosts are meant.
func Say(ids []string) string {
	if len(ids) <= mostNamed {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more hosts", strings.Join(ids[:mostNamed], ", "), len(ids)-mostNamed)
}
