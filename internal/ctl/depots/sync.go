package depots

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func (t command) syncCommand() *cobra.Command {
	var wanted []string
	var force bool
	var w tool.Writing
	c := &cobra.Command{
		Use: "sync FROM TO", Args: tool.Args,
		Short: "Copy products from one depot to another, only what differs",
		Long: `Make products on depot TO what they are on depot FROM. TO fetches from FROM, and
only the parts of files that are not in the version that it has. A product is
there whole in its new version, or as it was before. Products that only TO has
are left alone. Exit status 3: some were copied, some not.`,
		RunE: func(c *cobra.Command, given []string) error {
			return t.sync(c.Context(), given[0], given[1], wanted, force, w)
		},
	}
	c.Flags().StringArrayVar(&wanted, "product", nil, "a product to copy, may be repeated (default all that FROM has)")
	c.Flags().BoolVar(&force, "force", false, "also over products that are locked on TO")
	w.Add(c)
	return c
}

// step is one product's way to be equal.
type step struct {
	product, was, will, why string
	bytes                   int64
}

func (t command) sync(ctx context.Context, from, to string, wanted []string, force bool, w tool.Writing) error {
	steps, to, err := t.plan(ctx, from, to, wanted)
	if err != nil {
		return err
	}
	if w.DryRun || len(steps) == 0 {
		var rows []fleet.Row
		for _, s := range steps {
			rows = append(rows, fleet.Row{"product": s.product, "from": s.was, "to": s.will, "why": s.why, "bytes": s.bytes, "size": term.Bytes(s.bytes)})
		}
		return t.List(rows, "nothing to copy: "+to+" has it all", "product", "has=from", "gets=to", "size", "why")
	}
	if err := t.Confirm(w.Yes, fmt.Sprintf("copy %d products from %s to %s", len(steps), from, to)); err != nil {
		return err
	}
	conn, done, err := t.Depot(ctx, to)
	if err != nil {
		return err
	}
	defer done()
	results := []fleet.Row{}
	failed := 0
	for _, s := range steps {
		bar := term.NewProgress(t.Err, t.Progress(), "copy "+s.product, 0, s.bytes)
		before := int64(0)
		r, err := conn.Copy(ctx, s.product, from, force, func(now, _ int64) {
			bar.Add(now - before)
			before = now
		})
		if err != nil {
			bar.Println("copy of " + s.product + " failed")
			if ctx.Err() != nil || len(steps) == 1 {
				return err
			}
			failed++
			run.Report(t.Err, tool.Presentable(err))
			results = append(results, fleet.Row{"product": s.product, "error": err.Error()})
			continue
		}
		bar.Add(s.bytes - before)
		bar.Close()
		if !t.JSON {
			t.Remark("copied %s %s: %s, %s on the line", s.product, s.will, term.Bytes(number(r["bytes"])), term.Bytes(number(r["wire"])))
		}
		results = append(results, r)
	}
	if t.JSON {
		if err := t.WriteJSON(results); err != nil {
			return err
		}
	}
	switch {
	case failed == len(steps):
		return fmt.Errorf("none of %d products was copied", failed)
	case failed > 0:
		return &tool.Partly{Failed: failed, All: len(steps)}
	}
	return nil
}

// number is one that came as JSON.
func number(v any) int64 {
	f, _ := v.(float64)
	return int64(f)
}

// plan tells what differs. Trees are compared, not only versions.
func (t command) plan(ctx context.Context, from, to string, wanted []string) (steps []step, depot string, err error) {
	var has [2]map[string]product
	for i, id := range []string{from, to} {
		row, err := t.DepotRow(ctx, id)
		if err != nil {
			return nil, "", err
		}
		depot = row.Str("id")
		if has[i], err = t.has(ctx, depot); err != nil {
			return nil, "", err
		}
	}
	if from == to {
		return nil, "", fleet.Errorf(fleet.Invalid, "cannot copy from %s to itself", from)
	}
	if len(wanted) == 0 {
		wanted = sorted(has[0])
	}
	for _, name := range wanted {
		there, known := has[0][name]
		if !known || there.digest == "" {
			return nil, "", fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot copy %q: depot %s does not have its files", name, from), "see: fernwerk depot show %s", from)
		}
		here, known := has[1][name]
		s := step{product: name, was: here.version, will: there.version, bytes: there.bytes}
		switch {
		case !known:
			s.why = "missing"
		case here.version != there.version:
			s.why = "another version"
		case here.digest != there.digest:
			s.why = "other files"
		default:
			continue
		}
		steps = append(steps, s)
	}
	return steps, depot, nil
}
