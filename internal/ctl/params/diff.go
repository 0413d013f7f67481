package params

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/ctl/values"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff HOST [OTHER]", Args: tool.Args,
		Short: "Show where a host's values differ from the defaults, or from another host's",
		RunE: func(c *cobra.Command, given []string) error {
			return t.diff(c.Context(), strings.ToLower(given[0]), strings.ToLower(append(given, "")[1]))
		},
	}
}

func (t command) diff(ctx context.Context, host, other string) error {
	hosts := []string{host}
	if other != "" {
		hosts = append(hosts, other)
	}
	counting, err := t.effective(ctx, []string{}, hosts)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if counting[h] == nil {
			return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find host %s", h), "list all with: fernwerk host list")
		}
	}
	one, _ := counting[host].(map[string]any)
	two, _ := counting[other].(map[string]any)
	beside := other
	if other == "" {
		beside, two = "default", map[string]any{}
		all, err := t.Objects(ctx, "config", nil)
		if err != nil {
			return err
		}
		for _, p := range all {
			two[p.Str("id")] = p["defaultValues"]
		}
	}
	rows := []fleet.Row{}
	for _, id := range slices.Sorted(maps.Keys(two)) {
		if reflect.DeepEqual(one[id], two[id]) {
			continue
		}
		r := fleet.Row{"parameter": id, host: one[id], beside: two[id]}
		if !t.JSON {
			r[host], r[beside] = values.Say(one[id]), values.Say(two[id])
		}
		rows = append(rows, r)
	}
	return t.List(rows, "no differences", "parameter", host, beside)
}
