package depots

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) lockCommand(lock bool) *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "lock DEPOT PRODUCT...", Args: tool.Args,
		Short: "Lock products on a depot: nothing installs over them, clients leave them alone",
		RunE:  func(c *cobra.Command, given []string) error { return t.lock(c.Context(), given[0], given[1:], lock, w) },
	}
	if !lock {
		c.Use, c.Short = "unlock DEPOT PRODUCT...", "Unlock products on a depot"
		c.Long = `Unlock products on a depot. A product that is being installed stays locked: its
installation undoes its lock by itself when it ends, also when it fails, and the
depot server ends one that was interrupted when it starts.`
	}
	w.Add(c)
	return c
}

func (t command) lock(ctx context.Context, depot string, products []string, lock bool, w tool.Writing) error {
	row, err := t.DepotRow(ctx, depot)
	if err != nil {
		return err
	}
	depot = row.Str("id")
	has, err := t.has(ctx, depot)
	if err != nil {
		return err
	}
	var change []any
	var names []any
	for _, name := range products {
		p, there := has[name]
		switch {
		case !there:
			return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot lock %q: depot %s does not have it", name, depot), "see: fernwerk depot show %s", depot)
		case p.busy:
			return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot change the lock of %q on depot %s: it is being installed or removed", name, depot),
				"wait until that has ended; if its server was killed, start it: it puts itself in order")
		case p.locked == lock:
			continue
		}
		names = append(names, name)
		change = append(change, fleet.Row{"productId": name, "productType": p.row["productType"], "productVersion": p.row["productVersion"],
			"packageVersion": p.row["packageVersion"], "depotId": depot, "locked": lock})
	}
	verb := map[bool]string{true: "lock", false: "unlock"}[lock]
	if w.DryRun {
		return t.Say(map[string]any{"depotId": depot, "locked": lock, "products": names, "dryRun": true}, "would %s %d products on %s", verb, len(names), depot)
	}
	if len(change) > 0 {
		if _, err := t.Call(ctx, "productOnDepot_updateObjects", change); err != nil {
			return err
		}
	}
	return t.Say(map[string]any{"depotId": depot, "locked": lock, "products": names}, "%sed %d products on %s", verb, len(names), depot)
}
