package hosts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) hostHistoryCommand() *cobra.Command {
	var limit int64
	c := &cobra.Command{
		Use: "history HOST", Args: tool.Args,
		Short:   "Show who changed what about a host, the newest first",
		Example: "  fernwerk host history pc1.example.org --limit 20",
		RunE:    func(c *cobra.Command, given []string) error { return t.hostHistory(c.Context(), given[0], limit) },
	}
	c.Flags().Int64Var(&limit, "limit", 50, "how many changes")
	return c
}

func (t command) hostHistory(ctx context.Context, id string, limit int64) error {
	if err := fleet.ValidHostID(id); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot show the history: %w", err)
	}
	entries, err := rpc.As[[]any](t.Call(ctx, "journal_getEntries", id, limit))
	if err != nil {
		return err
	}
	if t.JSON {
		return t.WriteJSON(entries)
	}
	rows := make([]fleet.Row, 0, len(entries))
	for _, e := range entries {
		r, _ := e.(map[string]any)
		rows = append(rows, fleet.Row{"at": r["at"], "actor": r["actor"], "class": r["class"], "object": r["object"], "change": inWords(r)})
	}
	return t.List(rows, "no changes", "at", "by=actor", "class", "object", "change")
}

// inWords is a change in one line: what was, what is.
func inWords(r map[string]any) string {
	before, _ := r["before"].(map[string]any)
	after, _ := r["after"].(map[string]any)
	if op := r["operation"]; op != "update" {
		if said, _ := after["notes"].(string); said != "" && op != "insert" { // what happened to it, such as up
			return plain(op) + ": " + said
		}
		if op == "insert" || op == "delete" {
			return plain(op)
		}
		return strings.TrimSuffix(plain(op)+": "+details(after), ": ")
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if name != "modificationTime" {
			parts = append(parts, fmt.Sprintf("%s: %s -> %s", name, plain(before[name]), plain(after[name])))
		}
	}
	return strings.Join(parts, ", ")
}

// longest is how many characters of a serial or a digest are shown; --json has them all.
const longest = 20

// details are what belongs to something that happened, such as a certificate's tunnel.
func details(after map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		value := fmt.Sprint(after[name])
		if after[name] == nil || value == "" {
			continue
		}
		if r := []rune(value); len(r) > longest && !strings.Contains(value, " ") {
			value = string(r[:longest]) + "..."
		}
		parts = append(parts, name+" "+value)
	}
	return strings.Join(parts, ", ")
}

func plain(v any) string {
	if v == nil || v == "" {
		return "(none)"
	}
	return fmt.Sprint(v)
}
