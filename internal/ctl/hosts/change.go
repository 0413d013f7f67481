package hosts

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// changeable are the flags of `host change`, and the attributes that they set.
var changeable = map[string]struct{ attribute, doc string }{
	"description": {"description", "what people call it"},
	"notes":       {"notes", "what else is to be known"},
	"inventory":   {"inventoryNumber", "inventory number"},
	"mac":         {"hardwareAddress", "hardware address, aa:bb:cc:dd:ee:ff"},
	"ip":          {"ipAddress", "IP address"},
}

func (t command) hostChangeCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "change HOST", Args: tool.Args,
		Short:   "Change what is noted about a host",
		Long:    "Change what is noted about a host. Only what is given is changed; an empty text\nempties it.",
		Example: "  fernwerk host change pc1.example.org --description 'reception, left'",
		RunE: func(c *cobra.Command, given []string) error {
			change := fleet.Row{}
			for name, f := range changeable {
				if c.Flags().Changed(name) {
					change[f.attribute], _ = c.Flags().GetString(name) // it is a string: see below
				}
			}
			if len(change) == 0 {
				return tool.Misused(c, "cannot run %q: nothing is to be changed", c.CommandPath())
			}
			return t.hostChange(c.Context(), given[0], change, w)
		},
	}
	for name, f := range changeable {
		c.Flags().String(name, "", f.doc)
	}
	c.Flags().BoolVar(&w.DryRun, "dry-run", false, "say what would be done, and do nothing")
	return c
}

func (t command) hostChange(ctx context.Context, id string, change fleet.Row, w tool.Writing) error {
	host, err := t.host(ctx, strings.ToLower(id))
	if err != nil {
		return err
	}
	names := strings.Join(slices.Sorted(maps.Keys(change)), ", ")
	if w.DryRun {
		return t.Say(change, "would change %s of %s", names, host.Str("id"))
	}
	change["type"], change["id"] = host["type"], host["id"]
	if _, err := t.Call(ctx, "host_updateObject", map[string]any(change)); err != nil {
		return err
	}
	return t.Say(change, "changed %s of %s", names, host.Str("id"))
}
