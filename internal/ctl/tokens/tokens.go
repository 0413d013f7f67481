// Package tokens is the texts by which machines join: to make them, to print them
// in the form that a machine takes them in, and to end them.
package tokens

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is token.
func Commands(t *tool.Tool) []*cobra.Command {
	c := command{t}
	token := &cobra.Command{Use: "token", Short: "Tokens by which machines join: create, list, revoke"}
	token.AddCommand(c.createCommand(), c.listCommand(), c.revokeCommand())
	return []*cobra.Command{token}
}

// wish are the flags of `token create`.
type wish struct {
	nodeType, depot, policy, ttl, print string
	uses                                int64
	groups                              []string
	approve, dryRun                     bool
}

func (t command) createCommand() *cobra.Command {
	var w wish
	c := &cobra.Command{
		Use: "create", Args: tool.Args,
		Short: "Make a token, and print it as a command, for cloud-init, for the MSI or as a picture",
		Long: `Make a token by which machines join. It holds the server's address and the
fingerprint of its certificate authority; whoever has it can join as often as it
says until it ends, so hand it over like a password. It is shown this once.

A machine that joins gets a name by the server's rule ([enrolment] name), and the
groups and the depot that are given here.

--print is command (what to run on the machine), cloud-init (user data in YAML),
msi (the line for msiexec), qr (a picture) or token (the text alone).`,
		Example: "  fernwerk token create --node-type vnode --uses 20 --ttl 24h --group lab\n" +
			"  fernwerk token create --approve --print cloud-init > user-data",
		RunE: func(c *cobra.Command, _ []string) error { return t.create(c, w) },
	}
	f := c.Flags()
	f.StringVar(&w.nodeType, "node-type", "", "what the machines are; it stands in their certificates")
	f.Int64Var(&w.uses, "uses", 1, "how many machines may join")
	f.StringVar(&w.ttl, "ttl", "24h", "how long it counts: 90m, 24h, 30d")
	f.StringSliceVar(&w.groups, "group", nil, "host group that the machines come into; may be repeated")
	f.StringVar(&w.depot, "depot", "", "depot that serves the machines")
	f.StringVar(&w.policy, "policy", "", "what the machines demand of content: offline, delegated or plain-opsi; without a word offline, which needs a root of trust")
	f.BoolVar(&w.approve, "approve", false, "each machine waits until an administrator agrees: fernwerk host pending")
	f.StringVar(&w.print, "print", "command", "command, cloud-init, msi, qr or token")
	f.BoolVar(&w.dryRun, "dry-run", false, "say what would be done, and do nothing")
	_ = c.RegisterFlagCompletionFunc("print", cobra.FixedCompletions(slices.Sorted(names), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("policy", cobra.FixedCompletions([]string{"offline", "delegated", "plain-opsi"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (t command) create(c *cobra.Command, w wish) error {
	life, err := duration(w.ttl)
	if err != nil {
		return tool.Misused(c, "cannot run %q: %v", c.CommandPath(), err)
	}
	if forms[w.print] == nil {
		return tool.Misused(c, "cannot run %q: --print %s is none of %s", c.CommandPath(), w.print, strings.Join(slices.Sorted(names), ", "))
	}
	if w.dryRun {
		return t.Say(map[string]any{"uses": w.uses, "nodeType": w.nodeType, "groups": w.groups, "depot": w.depot, "policy": w.policy, "approve": w.approve, "dryRun": true},
			"would make a token for %d machines that counts for %v", w.uses, life)
	}
	groups := []any{}
	for _, g := range w.groups {
		groups = append(groups, g)
	}
	made, err := rpc.As[map[string]any](t.Call(c.Context(), "token_create", w.nodeType, w.uses, int64(life/time.Second), groups, w.depot, w.policy, w.approve))
	if err != nil {
		return err
	}
	if t.JSON {
		return t.WriteJSON(made)
	}
	t.untyped(c.Context(), w.nodeType)
	text, _ := made["token"].(string)
	return forms[w.print](t.Out, text)
}

// untyped says that there is no such node type yet: that is no mistake of a fleet without
// tunnels, where the word is for updates and hosts' names.
func (t command) untyped(ctx context.Context, nodeType string) {
	if nodeType == "" {
		return
	}
	if n, err := t.Count(ctx, fleet.NodeTypes.Name, fleet.Filter{"id": nodeType}); err == nil && n == 0 {
		t.Remark("there is no node type %s: its hosts have no address and no tunnel until it is made, by fernwerk node-type create %s", nodeType, nodeType)
	}
}

// duration is a Go duration, or a number of days.
func duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no time: write 90m, 24h or 30d", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time: write 90m, 24h or 30d", text)
	}
	return d, nil
}

func (t command) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List the tokens, without their secrets",
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := rpc.As[[]any](t.Call(c.Context(), "token_getObjects"))
			if err != nil {
				return err
			}
			if t.JSON {
				return t.WriteJSON(v)
			}
			rows, err := rpc.Rows(v)
			if err != nil {
				return err
			}
			for _, r := range rows {
				r["joined"] = fmt.Sprintf("%v of %v", r["used"], r["uses"])
			}
			return t.List(rows, "no tokens", "id", "state", "joined", "expires", "type=nodeType", "groups", "policy", "by")
		},
	}
}

func (t command) revokeCommand() *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: "revoke TOKEN", Args: tool.Args,
		Short: "End a token, by its id; hosts that joined by it stay",
		RunE: func(c *cobra.Command, given []string) error {
			return t.revoke(c.Context(), given[0], w)
		},
	}
	w.Add(c)
	return c
}

func (t command) revoke(ctx context.Context, id string, w tool.Writing) error {
	if strings.HasPrefix(id, "fw1.") {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot revoke the token: that is its text, its id is wanted"), "see: fernwerk token list")
	}
	if w.DryRun {
		return t.Say(map[string]any{"revoked": id, "dryRun": true}, "would revoke token %s", id)
	}
	if err := t.Confirm(w.Yes, "revoke token "+id); err != nil {
		return err
	}
	if _, err := t.Call(ctx, "token_revoke", id); err != nil {
		return err
	}
	return t.Say(map[string]any{"revoked": id}, "revoked token %s", id)
}
