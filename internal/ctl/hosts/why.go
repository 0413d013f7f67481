package hosts

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// journalled is how far back `host why` looks, in changes.
const journalled = 2000

func (t command) hostWhyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why HOST [PRODUCT]", Args: tool.Args,
		Short: "Show what is requested of a host in which order, who requested it and when, and what came of it",
		Long: `Show what is requested of a host, in the order in which it will be done, who
requested it and when; with PRODUCT also what came of it last.`,
		RunE: func(c *cobra.Command, given []string) error {
			return t.hostWhy(c.Context(), strings.ToLower(given[0]), strings.ToLower(append(given, "")[1]))
		},
	}
}

func (t command) hostWhy(ctx context.Context, id, product string) error {
	host, err := t.host(ctx, id)
	if err != nil {
		return err
	}
	filter := fleet.Filter{"clientId": id}
	if product != "" {
		filter["productId"] = product
	}
	rows, err := t.Rows(ctx, "productOnClient_getObjectsWithSequence", []any{}, map[string]any(filter))
	if err != nil {
		return err
	}
	entries, err := rpc.As[[]any](t.Call(ctx, "journal_getEntries", id, int64(journalled)))
	if err != nil {
		return err
	}
	shown := []fleet.Row{}
	for _, r := range rows {
		if a := r.Str("actionRequest"); product == "" && (a == "" || a == string(fleet.None)) {
			continue
		}
		r["requestedBy"], r["requestedAt"] = requester(entries, id, r.Str("productId"), r.Str("actionRequest"))
		shown = append(shown, r)
	}
	if !t.JSON && host.Str("lastSeen") == "" {
		t.Remark("%s was never here", id)
	} else if !t.JSON {
		t.Remark("%s was here last at %s", id, host.Str("lastSeen"))
	}
	return t.List(shown, "nothing is requested", "order=actionSequence", "product=productId", "request=actionRequest", "by=requestedBy", "at=requestedAt",
		"status=installationStatus", "last=lastAction", "result=actionResult", "progress=actionProgress")
}

// requester finds who set an action request as it is now, in entries that stand
// the newest first.
func requester(entries []any, host, product, request string) (by, at any) {
	for _, e := range entries {
		e, _ := e.(map[string]any)
		after, _ := e["after"].(map[string]any)
		key := strings.Split(fmt.Sprint(e["object"]), ";")
		if e["class"] != "productOnClient" || after["actionRequest"] != request || !slices.Contains(key, host) || !slices.Contains(key, product) {
			continue
		}
		return e["actor"], e["at"]
	}
	return nil, nil
}
