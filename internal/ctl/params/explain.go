package params

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/values"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) explainCommand() *cobra.Command {
	var host string
	c := &cobra.Command{
		Use: "explain PARAMETER", Args: tool.Args,
		Short:   "Show each level's value of a parameter for a host, and which one counts",
		Example: "  fernwerk param explain clientconfig.depot.protocol --host pc1.example.org",
		RunE: func(c *cobra.Command, given []string) error {
			if host == "" {
				return tool.Misused(c, "cannot run %q: no --host is named", c.CommandPath())
			}
			return t.explain(c.Context(), given[0], strings.ToLower(host))
		},
	}
	c.Flags().StringVar(&host, "host", "", "the `HOST`")
	return c
}

func (t command) explain(ctx context.Context, id, host string) error {
	p, err := t.find(ctx, id)
	if err != nil {
		return err
	}
	levels, err := t.levels(ctx, host)
	if err != nil {
		return err
	}
	states, err := t.Objects(ctx, "configState", fleet.Filter{"configId": p.id()})
	if err != nil {
		return err
	}
	own := map[string]any{}
	for _, s := range states {
		own[s.Str("objectId")] = s["values"]
	}
	rows := []fleet.Row{{"level": "default", "of": "", "values": p.Row["defaultValues"], "counts": ""}}
	last := rows[0]
	for _, l := range levels {
		r := fleet.Row{"level": l.name, "of": l.object, "values": own[l.object], "counts": ""}
		if r["values"] != nil {
			last = r
		}
		rows = append(rows, r)
	}
	last["counts"] = "counts"
	if t.JSON {
		return t.WriteJSON(map[string]any{"parameter": p.id(), "host": host, "values": last["values"], "level": last["level"], "levels": rows})
	}
	for _, r := range rows {
		if r["value"] = "-"; r["values"] != nil {
			r["value"] = values.Say(r["values"])
		}
	}
	return t.List(rows, "", "level", "of", "value", "counts")
}

// level is one place where a value for a host can stand.
type level struct{ name, object string }

// levels are the places for a host, the most general first.
func (t command) levels(ctx context.Context, host string) ([]level, error) {
	servers, err := t.Objects(ctx, "host", fleet.Filter{"type": fleet.OpsiConfigserver})
	if err != nil {
		return nil, err
	}
	v, err := t.Rows(ctx, "configState_getClientToDepotserver", []any{}, []any{host})
	if err != nil {
		return nil, err
	}
	if len(v) != 1 {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find client %s", host), "list all with: fernwerk host list")
	}
	var out []level
	for _, s := range servers {
		out = append(out, level{"server", s.Str("id")})
	}
	if depot := v[0].Str("depotId"); len(out) == 0 || depot != out[0].object {
		out = append(out, level{"depot", depot})
	}
	return append(out, level{"client", host}), nil
}
