// Package params is host parameters: what they are, which value counts for whom
// and why, and WAN mode, which is four of them.
//
// A value can stand on four levels: the parameter's default, the config
// server's value, the value of a client's depot, the client's own. The nearest
// to the client counts.
package params

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands are param and wan.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	param := &cobra.Command{Use: "param", Short: "Host parameters: list, set, unset, explain, diff"}
	param.AddCommand(c.listCommand(), c.createCommand(), c.deleteCommand(), c.setCommand(), c.unsetCommand(), c.explainCommand(), c.diffCommand())
	return []*cobra.Command{param, c.wanCommand()}
}

// parameter is one host parameter.
type parameter struct{ fleet.Row }

func (p parameter) id() string { return p.Str("id") }

// find is the parameter with an id.
func (t command) find(ctx context.Context, id string) (parameter, error) {
	rows, err := t.Objects(ctx, "config", fleet.Filter{"id": strings.ToLower(id)})
	if err != nil {
		return parameter{}, err
	}
	if len(rows) == 1 {
		return parameter{rows[0]}, nil
	}
	all, err := rpc.As[[]any](t.Call(ctx, "config_getIdents", "str"))
	if err != nil {
		return parameter{}, err
	}
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = fmt.Sprint(n)
	}
	return parameter{}, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find host parameter %q%s", id, nearest.Phrase(id, names)),
		"list all with: fernwerk param list; make one with: fernwerk param create")
}

// effective are the values that count for hosts: host -> parameter -> values.
func (t command) effective(ctx context.Context, patterns, hosts []string) (map[string]any, error) {
	return rpc.As[map[string]any](t.Call(ctx, "configState_getValues", patterns, hosts))
}
