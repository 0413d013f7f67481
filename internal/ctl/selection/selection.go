// Package selection is how a command line says which hosts are meant: by name,
// by pattern, or by a condition.
//
//	--host pc1.example.org --host '*.branch.example.org'
//	--where 'group = branch and last-seen < 30d'
//
// Both may be given: then a host must be named and meet the condition. A host
// that is named whole and is not there is an error, before anything is done.
package selection

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Hosts are the flags that choose hosts.
type Hosts struct {
	Names []string
	Where string
}

// Add adds the flags to a command.
func (h *Hosts) Add(c *cobra.Command) {
	c.Flags().StringSliceVar(&h.Names, "host", nil, "the host, or several; in it * stands for any text")
	c.Flags().StringVar(&h.Where, "where", "", "choose hosts by a condition: not built yet")
	c.Flags().Lookup("where").Hidden = true
}

// Check refuses what would be no choice.
func (h *Hosts) Check(c *cobra.Command) error {
	if h.Where != "" {
		return &console.Misuse{Text: "cannot use --where: choosing hosts by a condition is not built yet", Next: "name them with --host, where * stands for any text"}
	}
	if len(h.Names) == 0 {
		return tool.Misused(c, "cannot run %q: no --host is named", c.CommandPath())
	}
	return nil
}

// Open tells whether more hosts may be meant than are named.
func (h *Hosts) Open() bool {
	return slices.ContainsFunc(h.Names, func(n string) bool { return strings.Contains(n, "*") })
}

// Clients are the ids of the clients that are meant, sorted.
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
			if id := r.Str("id"); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids, nil
}
