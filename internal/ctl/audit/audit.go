// Package audit is who did what: the server's journal, read backwards, as a
// table, as JSON, or as CSV for a spreadsheet.
package audit

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// page is how many entries are asked for at once.
const page = 1000

// question is what a run asks for.
type question struct {
	host, actor, since, until, class, operation string
	limit                                       int
	csv                                         bool
}

// command is the command, with what all commands share.
type command struct{ *tool.Tool }

// Command is audit.
func Command(t *tool.Tool) *cobra.Command {
	var q question
	c := &cobra.Command{
		Use: "audit", Args: tool.Args,
		Short: "Show who did what, the newest first",
		Long: `Show who did what, the newest first: changes, logins, failed logins and refusals.
Secrets are left out.

--csv writes all columns for a spreadsheet. A cell that a spreadsheet would take
for a formula begins with an apostrophe there.`,
		Example: `  fernwerk audit --since 2026-11-01 --class productOnClient
  fernwerk audit --operation 'login failed' --limit 0 --csv > failed.csv
  fernwerk audit --actor 'operator *' --since 24h`,
		RunE: func(c *cobra.Command, _ []string) error {
			if q.csv && t.JSON {
				return tool.Misused(c, "cannot write CSV and JSON at once")
			}
			if q.limit < 0 {
				return tool.Misused(c, "--limit %d is below 0", q.limit)
			}
			for _, at := range []*string{&q.since, &q.until} {
				text, err := moment(*at, time.Now())
				if err != nil {
					return tool.Misused(c, "%s", err)
				}
				*at = text
			}
			return command{t}.run(c.Context(), q)
		},
	}
	f := c.Flags()
	f.StringVar(&q.host, "host", "", "what is about this host, or was done by it")
	f.StringVar(&q.actor, "actor", "", "what was done by somebody, such as 'operator berta'; * stands for any text")
	f.StringVar(&q.since, "since", "", "not before a time (2006-01-02, 2006-01-02 15:04:05 in UTC) or an age (24h, 30d)")
	f.StringVar(&q.until, "until", "", "before a time or an age")
	f.StringVar(&q.class, "class", "", "a class, such as host, configState, account")
	f.StringVar(&q.operation, "operation", "", "insert, update, delete, login, 'login failed', refused, role, password, ...")
	f.IntVar(&q.limit, "limit", 100, "how many; 0 is all")
	f.BoolVar(&q.csv, "csv", false, "write CSV")
	return c
}

// moment is a time as the server takes it.
func moment(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	for _, form := range []string{time.DateTime, time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC().Format(time.DateTime), nil
		}
	}
	age := text
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); err == nil && n == 1 && text == fmt.Sprintf("%dd", days) {
		age = fmt.Sprintf("%dh", 24*days)
	}
	d, err := time.ParseDuration(age)
	if err != nil || d < 0 {
		return "", fmt.Errorf("cannot use %q as a time: write 2006-01-02, 2006-01-02 15:04:05, or an age such as 24h or 30d", text)
	}
	return now.Add(-d).UTC().Format(time.DateTime), nil
}

// entries asks page after page and hands each on.
func (t command) entries(ctx context.Context, q question, take func([]map[string]any) error) error {
	before := any(nil)
	for left := q.limit; ; {
		n := page
		if q.limit > 0 {
			n = min(n, left)
		}
		got, err := rpc.As[[]any](t.Call(ctx, "journal_getEntries", q.host, int64(n), q.actor, q.since, q.until, q.class, q.operation, before))
		if err != nil {
			return err
		}
		part := make([]map[string]any, 0, len(got))
		for _, e := range got {
			if m, ok := e.(map[string]any); ok {
				part = append(part, m)
			}
		}
		if err := take(part); err != nil {
			return err
		}
		left -= len(part)
		if len(part) < n || q.limit > 0 && left <= 0 {
			return nil
		}
		before = part[len(part)-1]["place"]
	}
}

func (t command) run(ctx context.Context, q question) error {
	switch {
	case t.JSON:
		return t.json(ctx, q)
	case q.csv:
		return t.csv(ctx, q)
	}
	var rows []fleet.Row
	err := t.entries(ctx, q, func(part []map[string]any) error {
		for _, e := range part {
			rows = append(rows, fleet.Row{"at": e["at"], "by": e["actor"], "from": e["address"], "class": e["class"], "object": e["object"], "what": words(e)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.List(rows, "nothing", "at", "by", "from", "class", "object", "what")
}

// json writes one array, a page at a time.
func (t command) json(ctx context.Context, q question) error {
	all := []any{}
	err := t.entries(ctx, q, func(part []map[string]any) error {
		for _, e := range part {
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.WriteJSON(all)
}

func (t command) csv(ctx context.Context, q question) error {
	w := csv.NewWriter(t.Out)
	if err := w.Write([]string{"at", "actor", "address", "request", "class", "object", "operation", "before", "after", "place"}); err != nil {
		return err
	}
	err := t.entries(ctx, q, func(part []map[string]any) error {
		for _, e := range part {
			record := make([]string, 0, 10)
			for _, name := range []string{"at", "actor", "address", "request", "class", "object", "operation", "before", "after", "place"} {
				record = append(record, inert(cell(e[name])))
			}
			if err := w.Write(record); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	})
	if err != nil {
		return fmt.Errorf("cannot write the audit log: %w", err)
	}
	return nil
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	data, _ := json.Marshal(v) // it came as JSON
	return string(data)
}

// inert makes text that came from anybody no formula: a spreadsheet takes what
// begins with one of these for one (OWASP, CSV injection), also behind blanks.
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) || strings.HasPrefix(strings.TrimLeft(s, " "), "=") {
		return "'" + s
	}
	return s
}

// words is an entry in one line.
func words(e map[string]any) string {
	before, _ := e["before"].(map[string]any)
	after, _ := e["after"].(map[string]any)
	parts := []string{}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		switch {
		case e["operation"] == "update" && name != "modificationTime":
			parts = append(parts, fmt.Sprintf("%s: %s -> %s", name, plain(before[name]), plain(after[name])))
		case e["operation"] != "update" && e["operation"] != "insert":
			parts = append(parts, fmt.Sprintf("%s: %s", name, plain(after[name])))
		}
	}
	if e["operation"] == "update" && len(parts) > 0 {
		return strings.Join(parts, ", ")
	}
	return strings.TrimSpace(plain(e["operation"]) + " " + strings.Join(parts, ", "))
}

func plain(v any) string {
	if v == nil || v == "" {
		return "(none)"
	}
	return cell(v)
}
