package values

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Target is where a value is set: at hosts, at a server for its clients, or as
// the default for all.
type Target struct {
	Hosts    selection.Hosts
	Depot    string
	Defaults bool
}

// Add adds the flags to a command.
func (g *Target) Add(c *cobra.Command) {
	g.Hosts.Add(c)
	c.Flags().StringVar(&g.Depot, "depot", "", "for the clients of this `SERVER`: a depot, or the config server for all")
}

// Check refuses no target, and more than one.
func (g *Target) Check(c *cobra.Command) error {
	given := 0
	for _, set := range []bool{!g.Hosts.All(), g.Depot != "", g.Defaults} {
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
	return g.Hosts.CheckSome(c)
}

// Objects are the ids of the hosts at which the value stands.
func (g *Target) Objects(ctx context.Context, t *tool.Tool) ([]string, error) {
	if g.Depot == "" {
		return g.Hosts.Clients(ctx, t)
	}
	rows, err := t.Objects(ctx, "host", fleet.Filter{"id": strings.ToLower(g.Depot)})
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || rows[0].Str("type") == fleet.OpsiClient {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find server %s", g.Depot), "list all with: fernwerk depot list")
	}
	return []string{rows[0].Str("id")}, nil
}

// Say words the target.
func (g *Target) Say(objects []string) string {
	if g.Depot != "" {
		return fmt.Sprintf("all clients of %s that have no value of their own", objects[0])
	}
	return selection.Say(objects)
}

// Asks tells whether a change wants a question first.
func (g *Target) Asks() bool { return g.Depot != "" || g.Defaults || g.Hosts.Open() }
