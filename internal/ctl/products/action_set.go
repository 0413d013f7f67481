package products

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

func (t command) actionSetCommand() *cobra.Command {
	var hosts selection.Hosts
	var w tool.Writing
	c := &cobra.Command{
		Use: "set PRODUCT ACTION", Args: tool.Args,
		Short: "Request an action: " + strings.Join(actions, ", "),
		Long: `Request an action of a product on hosts. What the product depends on is
requested with it, in the order in which it will be done.

A pattern or condition is asked about first, unless --yes is given. Exit status 3:
some hosts took the request, some did not.`,
		Example:   "  fernwerk action set firefox setup --host pc1.example.org",
		ValidArgs: actions,
		RunE: func(c *cobra.Command, given []string) error {
			if err := tool.OneOf(c, "action", given[1], actions); err != nil {
				return err
			}
			if err := hosts.Check(c); err != nil {
				return err
			}
			return t.request(c.Context(), given[0], given[1], hosts, w)
		},
	}
	hosts.Add(c)
	w.Add(c)
	return c
}

// request sets an action request, or takes it back ("none").
func (t command) request(ctx context.Context, product, action string, hosts selection.Hosts, w tool.Writing) error {
	clients, err := hosts.Clients(ctx, t.Tool)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("request %s of %s for %s", action, product, selection.Say(clients))
	if action == string(fleet.None) {
		what = fmt.Sprintf("cancel the request for %s on %s", product, selection.Say(clients))
	}
	if w.DryRun {
		return t.Say(map[string]any{"product": product, "action": action, "hosts": clients, "dryRun": true}, "would %s", what)
	}
	if err := t.Confirm(w.Yes || !hosts.Open(), what); err != nil {
		return err
	}
	requested := []fleet.Row{}
	failed := 0
	for _, client := range clients {
		v, err := t.Call(ctx, "setProductActionRequestWithDependencies", product, client, action)
		var rows []fleet.Row
		if err == nil {
			rows, err = rpc.Rows(v)
		}
		if err != nil && len(clients) == 1 || ctx.Err() != nil {
			return err
		}
		if err != nil {
			failed++
			run.Report(t.Err, tool.Presentable(fmt.Errorf("%s: %w", client, err)))
		}
		requested = append(requested, rows...)
	}
	if action == string(fleet.None) && !t.JSON {
		t.Remark("cancelled: %s on %d of %d hosts", product, len(clients)-failed, len(clients))
	} else if err := t.List(requested, "nothing to do", "host=clientId", "product=productId", "action=actionRequest", "why"); err != nil {
		return err
	}
	switch {
	case failed == len(clients):
		return fmt.Errorf("none of %d hosts took the request", failed)
	case failed > 0:
		return &tool.Partly{Failed: failed, All: len(clients)}
	}
	return nil
}
