package ctl

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// actions are what can be requested.
var actions = []string{string(fleet.Setup), string(fleet.Uninstall), string(fleet.Update), string(fleet.Always), string(fleet.Once), string(fleet.Custom)}

// which are the flags that choose hosts.
type which struct {
	hosts []string
	where string
}

func (w *which) add(c *cobra.Command) {
	c.Flags().StringSliceVar(&w.hosts, "host", nil, "the host, or several; in it * stands for any text")
	c.Flags().StringVar(&w.where, "where", "", "choose hosts by a condition: not built yet")
	c.Flags().Lookup("where").Hidden = true
}

// check refuses what would be no choice.
func (w *which) check(c *cobra.Command) error {
	if w.where != "" {
		return &console.Misuse{Text: "cannot use --where: choosing hosts by a condition is not built yet", Next: "name them with --host, where * stands for any text"}
	}
	if len(w.hosts) == 0 {
		return misused(c, "cannot run %q: no --host is named", c.CommandPath())
	}
	return nil
}

// pattern says whether more hosts may be meant than are named.
func (w *which) pattern() bool {
	return slices.ContainsFunc(w.hosts, func(h string) bool { return strings.Contains(h, "*") })
}

// clients are the clients that are meant. One that is named and not there is an
// error, before anything is done.
func (t *tool) clients(ctx context.Context, w which) ([]string, error) {
	var ids []string
	for _, h := range w.hosts {
		rows, err := t.rows(ctx, "host_getObjects", []any{"id"}, map[string]any{"id": strings.ToLower(h), "type": fleet.OpsiClient})
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find host %s", h), "list all with: fernwerk host list")
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

func (t *tool) actionCommand() *cobra.Command {
	c := &cobra.Command{Use: "action", Short: "Action requests: what shall be done with products on hosts"}
	c.AddCommand(t.actionSetCommand(), t.actionListCommand(), t.actionCancelCommand())
	return c
}
