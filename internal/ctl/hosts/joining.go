package hosts

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/ctl/selection"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// joiningCommands are about what a machine is known by.
func (t command) joiningCommands() []*cobra.Command {
	return []*cobra.Command{t.pendingCommand(), t.approveCommand(), t.denyCommand(), t.revokeCommand(), t.clonesCommand(), t.keepCommand(), t.keyLoginsCommand()}
}

func (t command) pendingCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pending", Args: tool.Args,
		Short: "List the machines that wait to be approved",
		RunE: func(c *cobra.Command, _ []string) error {
			rows, err := t.Rows(c.Context(), "host_getPending")
			if err != nil {
				return err
			}
			return t.List(rows, "no machine waits", "request=id", "asked", "machine=hostname", "address", "hardware=hardwareAddress", "type=nodeType", "token")
		},
	}
}

func (t command) approveCommand() *cobra.Command {
	var as string
	var dryRun bool
	c := &cobra.Command{
		Use: "approve REQUEST", Args: tool.Args,
		Short:   "Make a machine that waits a host",
		Long:    "Make a machine that waits a host, under the next name by the server's rule or as\n--as says. The machine learns so when it asks again, within seconds.",
		Example: "  fernwerk host approve 41d0c9f2ab3e7765\n  fernwerk host approve 41d0c9f2ab3e7765 --as gate.example.org",
		RunE: func(c *cobra.Command, given []string) error {
			if dryRun {
				return t.Say(map[string]any{"approved": given[0], "dryRun": true}, "would approve %s", given[0])
			}
			id, err := rpc.As[string](t.Call(c.Context(), "host_approve", given[0], strings.ToLower(as)))
			if err != nil {
				return err
			}
			return t.Say(map[string]any{"approved": given[0], "hostId": id}, "approved %s as %s", given[0], id)
		},
	}
	c.Flags().StringVar(&as, "as", "", "host id that the machine gets")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return c
}

func (t command) denyCommand() *cobra.Command {
	return t.simple("deny REQUEST", "Refuse a machine that waits", "", "deny", "denied", "host_deny")
}

func (t command) revokeCommand() *cobra.Command {
	var w tool.Writing
	var chosen selection.Hosts
	var reason string
	c := &cobra.Command{
		Use: "revoke [HOST...]", Args: tool.Args,
		Short: "End everything by which a host is known, at once",
		Long: `End everything by which a host is known, at once and on all servers: its
certificates, its host key, its one-time password, its sessions and its connection
to the message bus. In HOST * stands for any text; with --where hosts are chosen
that meet a condition. What is known of the host stays. The list of revocations
reaches all other hosts with their next contact.

A machine that shall come back joins anew: with a token, as another host, or with a
new one-time password as the same.`,
		Example: "  fernwerk host revoke pc1.example.org --reason 'stolen on the train'\n  fernwerk host revoke --where 'group = lab' --dry-run",
		RunE: func(c *cobra.Command, given []string) error {
			chosen.Names = given
			if chosen.All() {
				return tool.Misused(c, "cannot run %q: no HOST is named, and no --where given", c.CommandPath())
			}
			if err := chosen.CheckSome(c); err != nil {
				return err
			}
			return t.revoke(c.Context(), &chosen, reason, w)
		},
	}
	chosen.AddWhere(c)
	c.Flags().StringVar(&reason, "reason", "", "why; it stands in the history")
	w.Add(c)
	return c
}

// revoke goes on after a host that cannot be revoked: the others must not stay in.
func (t command) revoke(ctx context.Context, chosen *selection.Hosts, reason string, w tool.Writing) error {
	var ids []string
	var err error
	if chosen.Open() {
		ids, err = chosen.Clients(ctx, t.Tool)
	} else { // by name also a depot server
		for _, name := range chosen.Names {
			if _, err = t.host(ctx, strings.ToLower(name)); err != nil {
				break
			}
			ids = append(ids, strings.ToLower(name))
		}
	}
	if err != nil {
		return err
	}
	if w.DryRun {
		return t.Say(map[string]any{"revoked": ids, "dryRun": true}, "would revoke %s", selection.Say(ids))
	}
	if err := t.Confirm(w.Yes, "revoke "+selection.Say(ids)); err != nil {
		return err
	}
	done := []string{}
	for _, id := range ids {
		if _, err = t.Call(ctx, "host_revoke", id, reason); err != nil {
			t.Remark("%s is not revoked: %v", id, err)
			continue
		}
		done = append(done, id)
	}
	if len(done) == 0 {
		return err
	}
	if err := t.Say(map[string]any{"revoked": done}, "revoked %s", selection.Say(done)); err != nil {
		return err
	}
	if failed := len(ids) - len(done); failed > 0 {
		return &tool.Partly{Failed: failed, All: len(ids)}
	}
	return nil
}

func (t command) clonesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "clones", Args: tool.Args,
		Short: "List the identities that two machines use",
		Long: `List the identities that two machines use: the one that goes on with it, and the
one that was refused last. One of them becomes another host, with "fernwerk-agent
join --again TOKEN" there. If the wrong one was refused: "fernwerk host
keep-identity".`,
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := rpc.As[[]any](t.Call(c.Context(), "host_getClones"))
			if err != nil {
				return err
			}
			if t.JSON {
				return t.WriteJSON(v)
			}
			rows := []fleet.Row{}
			for _, e := range v {
				r, _ := e.(map[string]any)
				for _, which := range []string{"goes", "refused"} {
					m, _ := r[which].(map[string]any)
					state := map[string]string{"goes": "goes on", "refused": "refused"}[which]
					if which == "refused" && r["kept"] == true {
						state = "is accepted next"
					}
					rows = append(rows, fleet.Row{"host": r["id"], "state": state, "machine": m["hostname"], "address": m["address"], "hardware": m["hardwareAddress"], "uuid": m["systemUUID"], "seen": m["seen"]})
				}
			}
			return t.List(rows, "no identity is used twice", "host", "state", "machine", "address", "hardware", "uuid", "seen")
		},
	}
}

func (t command) keepCommand() *cobra.Command {
	return t.simple("keep-identity HOST", "Let the machine that was refused as a copy stay what it is",
		"Let the machine that was refused last as a copy stay what it is: its next contact\nis accepted, and the other machine is refused from then on. So a machine goes on that\nwas set back to an earlier state.", "keep the identity of", "kept the identity of", "host_keepIdentity")
}

func (t command) keyLoginsCommand() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: "key-logins HOST on|off", Args: tool.Args, ValidArgs: []string{"on", "off"},
		Short: "Say whether the host key of a host with a certificate opens opsi's protocol",
		Long: `Say whether the host key of a host that has a certificate opens opsi's protocol
(/rpc, WebDAV). It does unless it is switched off. Depot servers know hosts by their
host key only: a host that is served by one keeps it, and so does a depot server that
copies from another one.`,
		RunE: func(c *cobra.Command, given []string) error {
			if given[1] != "on" && given[1] != "off" {
				return tool.Misused(c, "cannot run %q: %q is neither on nor off", c.CommandPath(), given[1])
			}
			if dryRun {
				return t.Say(map[string]any{"host": given[0], "dryRun": true}, "would switch the host key of %s %s", given[0], given[1])
			}
			if _, err := t.Call(c.Context(), "host_setKeyLogins", given[0], given[1] == "on"); err != nil {
				return err
			}
			return t.Say(map[string]any{"host": given[0], "keyLogins": given[1]}, "switched the host key of %s %s", given[0], given[1])
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return c
}

// simple is a change of one thing without flags of its own.
func (t command) simple(use, short, long, verb, done, method string) *cobra.Command {
	var w tool.Writing
	c := &cobra.Command{
		Use: use, Args: tool.Args, Short: short, Long: long,
		RunE: func(c *cobra.Command, given []string) error {
			return t.change(c.Context(), given[0], w, verb, done, method)
		},
	}
	w.Add(c)
	return c
}

func (t command) change(ctx context.Context, what string, w tool.Writing, verb, done, method string) error {
	what = strings.ToLower(what)
	key, _, _ := strings.Cut(done, " ") // in JSON: denied, kept
	if w.DryRun {
		return t.Say(map[string]any{key: what, "dryRun": true}, "would %s %s", verb, what)
	}
	if err := t.Confirm(w.Yes, fmt.Sprintf("%s %s", verb, what)); err != nil {
		return err
	}
	if _, err := t.Call(ctx, method, what); err != nil {
		return err
	}
	return t.Say(map[string]any{key: what}, "%s %s", done, what)
}
