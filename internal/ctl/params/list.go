package params

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/values"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) listCommand() *cobra.Command {
	var host string
	c := &cobra.Command{
		Use: "list [PATTERN]", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List host parameters with their defaults, or the values that count for a host",
		Example: "  fernwerk param list 'clientconfig.*'\n" +
			"  fernwerk param list 'opsiclientd.*' --host pc1.example.org",
		RunE: func(c *cobra.Command, given []string) error {
			return t.list(c.Context(), strings.ToLower(append(given, "*")[0]), strings.ToLower(host))
		},
	}
	c.Flags().StringVar(&host, "host", "", "the values that count for this `HOST`")
	return c
}

func (t command) list(ctx context.Context, pattern, host string) error {
	rows, err := t.Objects(ctx, "config", fleet.Filter{"id": pattern})
	if err != nil {
		return err
	}
	headers := []string{"parameter=id", "default", "possible", "description"}
	if host != "" {
		counting, err := t.effective(ctx, []string{pattern}, []string{host})
		if err != nil {
			return err
		}
		counts, known := counting[host].(map[string]any)
		if !known {
			return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find host %s", host), "list all with: fernwerk host list")
		}
		for _, r := range rows {
			r["values"] = counts[r.Str("id")]
		}
		headers = []string{"parameter=id", "value", "default", "description"}
	}
	for _, r := range rows {
		if !t.JSON {
			r["value"], r["default"], r["possible"] = values.Say(r["values"]), values.Say(r["defaultValues"]), r["possibleValues"]
		}
	}
	return t.List(rows, "no host parameters", headers...)
}
