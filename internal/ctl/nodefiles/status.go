package nodefiles

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

func (t command) statusCommand() *cobra.Command {
	var bad bool
	c := &cobra.Command{
		Use: "status [NODETYPE]", Args: tool.Args,
		Short: "Show how the files are on each host, as it told last",
		RunE: func(c *cobra.Command, given []string) error {
			return t.status(c.Context(), first(given), bad)
		},
	}
	c.Flags().BoolVar(&bad, "problems", false, "only what is not in place")
	return c
}

func (t command) status(ctx context.Context, nodeType string, bad bool) error {
	type host struct {
		HostID   string            `json:"hostId"`
		NodeType string            `json:"nodeType"`
		Signed   bool              `json:"signed"`
		Current  bool              `json:"current"`
		Problem  string            `json:"problem"`
		Told     string            `json:"told"`
		Files    []nodefile.Status `json:"files"`
	}
	args, err := kinds(nodeType)
	if err != nil {
		return err
	}
	all, err := ask[host](ctx, t, "nodeFile_getStatus", args...)
	if err != nil {
		return err
	}
	rows := []fleet.Row{}
	add := func(h host, path, state, since, problem string) {
		rows = append(rows, fleet.Row{"hostId": h.HostID, "nodeType": h.NodeType, "path": path, "state": state, "since": since, "problem": problem, "told": h.Told})
	}
	for _, h := range all {
		if h.Problem != "" {
			add(h, "", "list refused", h.Told, h.Problem)
		} else if !h.Current && (len(h.Files) > 0 || !bad) {
			add(h, "", "behind", h.Told, "it does not follow the newest list yet")
		}
		for _, f := range h.Files {
			if bad && f.State == nodefile.InPlace && f.Problem == "" {
				continue
			}
			why := f.Problem
			if !f.Repaired.IsZero() {
				why = strings.TrimPrefix(why+"; a change made there was put right "+f.Repaired.UTC().Format(time.DateTime), "; ")
			}
			add(h, f.Path, f.State, f.Since.UTC().Format(time.DateTime), why)
		}
	}
	none := "no host has told of files yet"
	if bad {
		none = "no host tells of a problem"
	}
	return t.List(rows, none, "host=hostId", "path", "state", "since", "problem")
}

func (t command) knownHostsCommand() *cobra.Command {
	var nodeType, output string
	var short bool
	c := &cobra.Command{
		Use: "known-hosts", Args: tool.Args,
		Short: "Print the keys of hosts' SSH servers, for OpenSSH",
		Long: `Print the keys of hosts' SSH servers in the form of OpenSSH's known_hosts: each with
the node's name, its address in tunnels, and the host's id. Hosts tell their keys
over their own certificates. A key that took the place of another counts, is said
here, and is in the host's history. Hosts that were revoked are left out.`,
		Example: `  fernwerk known-hosts --output /etc/ssh/ssh_known_hosts
  fernwerk known-hosts --node-type vnode > known && ssh -o UserKnownHostsFile=known -o StrictHostKeyChecking=yes root@vnode-7-38.grid.example.org`,
		RunE: func(c *cobra.Command, _ []string) error { return t.knownHosts(c.Context(), nodeType, output, short) },
	}
	f := c.Flags()
	f.StringVar(&nodeType, "node-type", "", "only hosts of this node type")
	f.StringVar(&output, "output", "", "write this file instead, whole or not at all")
	f.BoolVar(&short, "short", false, "the first labels of the names, too")
	return c
}

func (t command) knownHosts(ctx context.Context, nodeType, output string, short bool) error {
	type host struct {
		HostID   string   `json:"hostId"`
		NodeType string   `json:"nodeType"`
		Names    []string `json:"names"`
		Keys     []string `json:"keys"`
		Since    string   `json:"since"`
		Changed  string   `json:"changed"`
	}
	args, err := kinds(nodeType)
	if err != nil {
		return err
	}
	all, err := ask[host](ctx, t, "nodeFile_getHostKeys", args...)
	if err != nil {
		return err
	}
	names := make([][]string, len(all))
	for i, h := range all {
		if names[i], err = knownNames(h.Names); err != nil {
			return err
		}
	}
	first, several := labels(names)
	for _, label := range several {
		if short {
			t.Remark("%s: several hosts would be called so, it is left out", label)
		}
	}
	var b strings.Builder
	for i := range all {
		h := &all[i]
		if h.Names = names[i]; short {
			h.Names = append(h.Names, first[i]...)
		}
		for _, key := range h.Keys {
			k, err := nodefile.ParseHostKey(key)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %s\n", strings.Join(h.Names, ","), k)
		}
		if h.Changed != "" {
			t.Remark("%s: a key took the place of another at %s; see: fernwerk audit --host %s", h.HostID, h.Changed, h.HostID)
		}
	}
	if output != "" {
		if err := atomicfile.WriteFile(output, []byte(b.String()), 0o644); err != nil {
			return err
		}
		return t.Say(map[string]any{"file": output, "hosts": len(all)}, "wrote %s: %d hosts", output, len(all))
	}
	if t.JSON {
		return t.WriteJSON(all)
	}
	_, err = fmt.Fprint(t.Out, b.String())
	return err
}

// knownNames are the names of a line, each once. One with a character that has a
// meaning there is refused.
func knownNames(names []string) (out []string, err error) {
	for _, n := range names {
		if n == "" || strings.ContainsAny(n, " \t\r\n,*?![]#|@") {
			return nil, fleet.Errorf(fleet.Invalid, "cannot write a line for %q: it is no name of a host", n)
		}
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out, nil
}

// labels are the first labels of the names of each host, but for those that another
// host has too: ssh would take the keys of both.
func labels(all [][]string) (of [][]string, several []string) {
	of, holders := make([][]string, len(all)), map[string][]int{}
	for i, names := range all {
		for _, n := range names {
			label, rest, dotted := strings.Cut(n, ".")
			if dotted && strings.Trim(rest, "0123456789.") != "" && !slices.Contains(holders[label], i) {
				holders[label] = append(holders[label], i)
			}
		}
	}
	for _, label := range slices.Sorted(maps.Keys(holders)) {
		if who := holders[label]; len(who) > 1 {
			several = append(several, label)
		} else if i := who[0]; !slices.Contains(all[i], label) {
			of[i] = append(of[i], label)
		}
	}
	return of, several
}
