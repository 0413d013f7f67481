package updates

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func (t command) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status [NUMBER] [HOST]", Args: tool.Args,
		Short: "Show how updates went: all, one with its hosts, or what it printed on a host",
		RunE: func(c *cobra.Command, given []string) error {
			if len(given) > 0 {
				if _, err := update.Number(given[0]); err != nil {
					return err
				}
			}
			switch len(given) {
			case 0:
				return t.list(c.Context())
			case 1:
				return t.hosts(c.Context(), given[0])
			}
			return t.output(c.Context(), given[0], given[1])
		},
	}
}

func (t command) list(ctx context.Context) error {
	rows, err := t.ask(ctx)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if !t.JSON {
			r["states"] = states(r["states"])
			if r["published"] != true {
				r["ring"] = "withdrawn"
			}
		}
	}
	return t.List(rows, "no updates", "number", "id", "ring", "offered", "states", "title")
}

// states are the counts in a fixed order, in words.
func states(v any) string {
	counts, _ := v.(map[string]any)
	var parts []string
	for _, s := range append([]update.State{"waiting"}, update.States...) {
		if n := counts[string(s)]; n != nil {
			parts = append(parts, fmt.Sprintf("%v %s", n, s))
		}
	}
	return strings.Join(parts, ", ")
}

func (t command) hosts(ctx context.Context, number string) error {
	rows, err := t.ask(ctx, number)
	if err != nil || len(rows) == 0 {
		return err
	}
	if t.JSON {
		return t.WriteJSON(rows[0])
	}
	r := rows[0]
	r["states"] = states(r["states"])
	if err := t.Sheet(r, []string{"number", "id", "title", "digest", "ring", "publishedAt", "publishedBy", "withdrawnAt", "withdrawnBy", "offered", "states"}); err != nil {
		return err
	}
	fmt.Fprintln(t.Out)
	return t.List(hostRows(r), "it reaches no host", "host=hostId", "state", "attempt", "exit", "ended", "policy", "reason")
}

func hostRows(r fleet.Row) (rows []fleet.Row) {
	list, _ := r["hosts"].([]any)
	for _, h := range list {
		if m, ok := h.(map[string]any); ok {
			rows = append(rows, m)
		}
	}
	return rows
}

func (t command) output(ctx context.Context, number, host string) error {
	rows, err := t.ask(ctx, number, host)
	if err != nil || len(rows) == 0 {
		return err
	}
	attempts := hostRows(rows[0])
	if t.JSON {
		return t.WriteJSON(attempts)
	}
	if len(attempts) == 0 {
		t.Remark("nothing was reported")
	}
	for _, a := range attempts {
		fmt.Fprintf(t.Out, "attempt %v, %s to %s: %s (exit %v) %s\n", a["attempt"], term.Clean(a.Str("started")), term.Clean(a.Str("ended")), term.Clean(a.Str("state")), a["exit"], term.Clean(a.Str("reason")))
		for line := range strings.Lines(a.Str("output")) {
			fmt.Fprintf(t.Out, "  %s\n", term.Clean(strings.TrimRight(line, "\r\n")))
		}
	}
	return nil
}
