package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// meanings say what a policy means, where it is shown or set.
var meanings = map[enrol.Policy]string{
	enrol.Offline:   "only what was signed by keys that are on no server is installed and run",
	enrol.Delegated: "what was signed offline is installed and run, and what the server's own key vouches for: trees that its depot changed",
	enrol.PlainOpsi: "signatures are not asked for: whoever controls the server, or its depot, runs what he likes here",
}

func trustCommand(dataDir *string) *cobra.Command {
	c := group(&cobra.Command{Use: "trust", Short: "Which content and which servers this machine believes"})
	var asJSON bool
	status := &cobra.Command{
		Use: "status", Short: "Shows the policy, what signed documents are held, and since when they are stale", Args: arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			id, err := identity.Load(*dataDir)
			if err != nil {
				return err
			}
			st, err := trustStatus(c, *dataDir, id)
			if err != nil && asJSON {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), st)
			}
			printTrust(c.OutOrStdout(), id, st)
			return err
		},
	}
	status.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	policy := &cobra.Command{
		Use: "policy [offline|delegated|plain-opsi]", Short: "Shows or sets what this machine demands of content", Args: arguments,
		Long: `Shows or sets what this machine demands of content.

No server can change it. It counts at once, also for the agent that runs.`,
		ValidArgs: []string{string(enrol.Offline), string(enrol.Delegated), string(enrol.PlainOpsi)},
		RunE: func(c *cobra.Command, given []string) error {
			if len(given) == 1 {
				if enrol.ValidPolicy(enrol.Policy(given[0])) != nil || given[0] == "" {
					return misused(c, "%q is no policy: it is offline, delegated or plain-opsi", given[0])
				}
				if err := identity.SetPolicy(*dataDir, enrol.Policy(given[0])); err != nil {
					return err
				}
			}
			id, err := identity.Load(*dataDir)
			if err != nil {
				return err
			}
			p := policyOf(id)
			fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", p, meanings[p])
			return nil
		},
	}
	pin := &cobra.Command{
		Use: "pin [VERSION SHA256]", Short: "Shows or sets the root that this machine's trust begins with", Args: noneOrTwo,
		Long: `Shows or sets the root that this machine's trust begins with.

It came with the machine's token. To set another one begins anew: what was
followed from the one before does not count any more. "fernwerk trust status"
prints the version and the SHA-256 of the server's root; compare them by another
way than the network that you doubt.`,
		RunE: func(c *cobra.Command, given []string) error {
			if len(given) == 2 {
				version, err := strconv.ParseInt(given[0], 10, 64)
				root := enrol.Root{Version: version, SHA256: strings.ToLower(given[1])}
				if err != nil || root.Check() != nil {
					return misused(c, "%q is not the VERSION and SHA256 of a root", strings.Join(given, " "))
				}
				if err := identity.SetRoot(*dataDir, root); err != nil {
					return err
				}
			}
			id, err := identity.Load(*dataDir)
			if err != nil {
				return err
			}
			if id.TrustVersion == 0 {
				fmt.Fprintln(c.OutOrStdout(), "none")
				return nil
			}
			fmt.Fprintf(c.OutOrStdout(), "%d %s\n", id.TrustVersion, id.TrustSHA256)
			return nil
		},
	}
	c.AddCommand(status, policy, pin, serversCommand(dataDir), forgetServerCommand(dataDir))
	return c
}

func noneOrTwo(c *cobra.Command, args []string) error {
	if len(args) != 0 && len(args) != 2 {
		return misused(c, "cannot run %q: it wants VERSION and SHA256, or nothing", c.CommandPath())
	}
	return nil
}

func policyOf(id identity.Identity) enrol.Policy { return cmp.Or(id.Policy, enrol.PlainOpsi) }

// trustStatus asks the agent that runs.
func trustStatus(c *cobra.Command, dataDir string, id identity.Identity) (control.TrustStatus, error) {
	offline := control.TrustStatus{Policy: policyOf(id), Pinned: id.TrustVersion}
	client, err := dial(dataDir)
	if err != nil {
		return offline, err
	}
	st, err := client.Status(c.Context())
	if err != nil {
		return offline, err
	}
	return st.Trust, nil
}

// trustLine is the trust in a few words.
func trustLine(st control.TrustStatus) string {
	line := string(st.Policy)
	switch {
	case st.Pinned == 0:
		return line + ", no trust root"
	case len(st.Versions) == 0:
		return line + ", no signed documents yet"
	case st.Stale && st.Since == "":
		line += ", no signed lists"
	case st.Stale:
		line += ", stale since " + st.Since
	}
	if st.Problem != "" {
		line += ", something was refused: fernwerk-agent trust status"
	}
	return line
}

func printTrust(w io.Writer, id identity.Identity, st control.TrustStatus) {
	fmt.Fprintf(w, "policy    %s: %s\n", st.Policy, meanings[st.Policy])
	if st.Pinned == 0 {
		fmt.Fprintln(w, "pin       none")
	} else {
		fmt.Fprintf(w, "pin       root %d, %s\n", st.Pinned, term.Clean(id.TrustSHA256))
	}
	if len(st.Versions) > 0 {
		var held []string
		for _, role := range slices.Sorted(maps.Keys(st.Versions)) {
			held = append(held, fmt.Sprintf("%s %d", role, st.Versions[role]))
		}
		fmt.Fprintf(w, "held      %s\n", strings.Join(held, ", "))
		switch {
		case st.Stale && st.Since == "":
			fmt.Fprintln(w, "stale     no lists are held: nothing new can be believed")
		case st.Stale:
			fmt.Fprintf(w, "stale     since %s; what is held goes on counting\n", st.Since)
		}
	}
	for _, line := range [][2]string{{"checked", st.Checked}, {"refused", st.Problem}, {"clock", st.Clock}} {
		if line[1] != "" {
			fmt.Fprintf(w, "%-9s %s\n", line[0], term.Clean(line[1]))
		}
	}
}
