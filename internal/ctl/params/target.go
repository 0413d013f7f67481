package params

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// target is where a value is set: at hosts, at a server for its clients, or as
// the default for all.
type target struct {
	hosts    selection.Hosts
	depot    string
	defaults bool
}

func (g *target) add(c *cobra.Command) {
	g.hosts.Add(c)
	c.Flags().StringVar(&g.depot, "depot", "", "for the clients of this `SERVER`: a depot, or the config server for all")
}

// check refuses no target, and more than one.
func (g *target) check(c *cobra.Command) error {
	given := 0
	for _, set := range []bool{!g.hosts.All(), g.depot != "", g.defaults} {
		if set {
			given++
		}
	}
	if given > 1 {
		return tool.Misused(c, "cannot run %q: hosts, --depot and --default exclude each other", c.CommandPath())
	}
	if given == 0 {
		choices := "--host, --where or --depot"
		if c.Flags().Lookup("default") != nil {
			choices = "--host, --where, --depot or --default"
		}
		return tool.Misused(c, "cannot run %q: for whom? Add %s", c.CommandPath(), choices)
	}
	return g.hosts.CheckSome(c)
}

// objects are the ids of the hosts at which the value stands.
func (g *target) objects(ctx context.Context, t *tool.Tool) ([]string, error) {
	if g.depot == "" {
		return g.hosts.Clients(ctx, t)
	}
	rows, err := t.Objects(ctx, "host", fleet.Filter{"id": strings.ToLower(g.depot)})
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || rows[0].Str("type") == fleet.OpsiClient {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find server %s", g.depot), "list all with: fernwerk depot list")
	}
	return []string{rows[0].Str("id")}, nil
}

// say words the target.
func (g *target) say(objects []string) string {
	if g.depot != "" {
		return fmt.Sprintf("all clients of %s that have no value of their own", objects[0])
	}
	return selection.Say(objects)
}

// asks tells whether a change wants a question first.
func (g *target) asks() bool { return g.depot != "" || g.defaults || g.hosts.Open() }
