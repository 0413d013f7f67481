package params

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/values"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// definition are the flags of `param create`.
type definition struct {
	boolean, multi, editable bool
	description              string
	defaults, possible       []string
}

func (t command) createCommand() *cobra.Command {
	var d definition
	c := &cobra.Command{
		Use: "create PARAMETER", Args: tool.Args,
		Short: "Create a host parameter",
		Example: "  fernwerk param create site.printer --default none --description 'the nearest printer'\n" +
			"  fernwerk param create site.kiosk --bool --default false",
		RunE: func(c *cobra.Command, given []string) error {
			if !c.Flags().Changed("editable") {
				d.editable = len(d.possible) == 0
			}
			return t.create(c.Context(), strings.ToLower(given[0]), d)
		},
	}
	c.Flags().BoolVar(&d.boolean, "bool", false, "its value is true or false")
	c.Flags().BoolVar(&d.multi, "multi", false, "it takes several values")
	c.Flags().BoolVar(&d.editable, "editable", false, "other values than the possible ones may be set (default where none are given)")
	c.Flags().StringVar(&d.description, "description", "", "what it means")
	c.Flags().StringSliceVar(&d.defaults, "default", nil, "the value for all who have no other")
	c.Flags().StringSliceVar(&d.possible, "possible", nil, "the values to choose from")
	return c
}

func (t command) create(ctx context.Context, id string, d definition) error {
	n, err := t.Count(ctx, "config", fleet.Filter{"id": id})
	if err == nil && n > 0 {
		err = fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot create host parameter %s: it exists", id), "look at it with: fernwerk param list %s", id)
	}
	if err != nil {
		return err
	}
	p := parameter{fleet.Row{"type": fleet.UnicodeConfig, "id": id, "description": d.description, "multiValue": d.multi, "editable": d.editable}}
	if d.boolean {
		p.Row["type"], p.Row["multiValue"], p.Row["editable"] = fleet.BoolConfig, false, false
	} else {
		possible := []any{}
		for _, v := range d.possible {
			possible = append(possible, v)
		}
		p.Row["possibleValues"] = possible
	}
	if p.Row["defaultValues"], err = values.Read(p.Row, p.id(), d.defaults); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "config_insertObject", map[string]any(p.Row)); err != nil {
		return err
	}
	return t.Say(p.Row, "created %s, default %s", id, values.Say(p.Row["defaultValues"]))
}

func (t command) deleteCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "delete PARAMETER", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Delete a host parameter, with all its values",
		RunE:  func(c *cobra.Command, given []string) error { return t.delete(c.Context(), given[0], w) },
	}
	w.Add(c)
	return c
}

func (t command) delete(ctx context.Context, id string, w tool.Writing) error {
	p, err := t.find(ctx, id)
	if err != nil {
		return err
	}
	if w.DryRun {
		return t.Say(map[string]any{"deleted": p.id(), "dryRun": true}, "would delete %s", p.id())
	}
	if err := t.Confirm(w.Yes, "delete "+p.id()+" with all its values"); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "config_delete", p.id()); err != nil {
		return err
	}
	return t.Say(map[string]any{"deleted": p.id()}, "deleted %s", p.id())
}
