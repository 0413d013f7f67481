package trust

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

func (t command) statusCommand() *cobra.Command {
	var f signing.Flags
	var alone bool
	c := &cobra.Command{
		Use: "status [DIR]", Args: tool.Args,
		Short: "Show what is signed by whom, until when, and what the server has",
		Long: `Show what is signed by whom, until when, here and at the server. What the server
shows is verified from root 1 of the folder on, as a host does it. A key with a
star has its file here, or in a folder of --keys. Exit status 5: the server
shows what hosts would refuse.`,
		RunE: func(c *cobra.Command, given []string) error { return t.status(c.Context(), first(given), alone, &f) },
	}
	c.Flags().BoolVar(&alone, "alone", false, "do not ask the server")
	f.AddDir(c)
	f.Add(c)
	return c
}

func (t command) status(ctx context.Context, dir string, alone bool, f *signing.Flags) error {
	d, err := f.Open(t.Tool, dir)
	if err != nil {
		return err
	}
	defer d.Close()
	rows := map[string]fleet.Row{}
	order := []string{trust.RoleRoot, trust.RoleTargets, trust.Depot, trust.RoleSnapshot, trust.RoleTimestamp}
	root := d.Root()
	for _, role := range order {
		r := fleet.Row{"role": role, "here": "", "server": "", "expires": ""}
		who, keys := root.Roles[role], root.Keys
		if role == trust.Depot {
			g, _ := d.List().Delegation(role)
			who, keys = g.Role, d.List().Keys
		}
		r["needed"], r["keys"] = who.Threshold, keyNames(d, role, who, keys)
		rows[role] = r
	}
	rows[trust.RoleRoot]["here"], rows[trust.RoleRoot]["expires"] = root.Version, day(root.Expires)
	rows[trust.RoleTargets]["here"], rows[trust.RoleTargets]["expires"] = d.List().Version, day(d.List().Expires)
	var refused error
	if !alone {
		there, err := offline.Ask(ctx, t.Tool)
		if err != nil {
			return fleet.WithHint(err, "look at the folder alone with --alone")
		}
		refused = t.server(d, there, rows)
	}
	list := []fleet.Row{}
	for _, role := range order {
		list = append(list, rows[role])
	}
	if err := t.show(list); err != nil {
		return err
	}
	t.say(d, rows)
	if refused != nil {
		return fmt.Errorf("hosts would refuse what the server shows: %w", refused)
	}
	return nil
}

// show writes the rows. JSON has null where a table has nothing, and keys one by one.
func (t command) show(list []fleet.Row) error {
	if t.JSON {
		for _, r := range list {
			for name, v := range r {
				if v == "" {
					r[name] = nil
				}
			}
			keys := []fleet.Row{}
			for _, id := range strings.Fields(fmt.Sprint(r["keys"])) {
				id, here := strings.CutSuffix(id, "*")
				keys = append(keys, fleet.Row{"id": id, "here": here})
			}
			r["keys"] = keys
		}
		return t.WriteJSON(list)
	}
	return t.List(list, "", "role", "here", "server", "expires", "needed", "keys")
}

// server fills in what the server has, and verifies it as a host does.
func (t command) server(d *offline.Dir, there *offline.Remote, rows map[string]fleet.Row) error {
	if len(there.Roots) == 0 {
		t.Remark("the server has no trust root yet: fernwerk trust publish")
		return nil
	}
	host, err := trust.NewTrusted(d.Roots()[0].Raw())
	if err != nil {
		return err
	}
	if there.Roots[0] != string(host.Root().Raw()) {
		return fleet.Errorf(fleet.Denied, "its root 1 is not the one of this folder")
	}
	for _, text := range there.Roots[1:] {
		if err := host.UpdateRoot([]byte(text)); err != nil {
			return err
		}
	}
	rows[trust.RoleRoot]["server"] = host.Root().Version
	if there.Timestamp == "" {
		return nil
	}
	if _, err := host.UpdateTimestamp([]byte(there.Timestamp)); err != nil {
		return err
	}
	if err := host.UpdateSnapshot([]byte(there.Snapshot)); err != nil {
		return err
	}
	if err := host.UpdateTargets(trust.RoleTargets, []byte(there.Targets)); err != nil {
		return err
	}
	if there.Depot != "" {
		if err := host.UpdateTargets(trust.Depot, []byte(there.Depot)); err != nil {
			return err
		}
	}
	for role, version := range host.Versions() {
		rows[role]["server"] = version
	}
	for role, text := range map[string]string{trust.Depot: there.Depot, trust.RoleSnapshot: there.Snapshot, trust.RoleTimestamp: there.Timestamp} {
		if at, ok := expires(role, text); ok {
			rows[role]["expires"] = day(at)
		}
	}
	if there.Targets != string(d.List().Raw()) && rows[trust.RoleTargets]["server"] == rows[trust.RoleTargets]["here"] {
		t.Remark("the server has another list with the number %v: fernwerk trust pull --discard", d.List().Version)
	}
	return nil
}

func expires(role, text string) (time.Time, bool) {
	var at time.Time
	switch role {
	case trust.Depot:
		if l, err := trust.ParseTargets(role, []byte(text)); err == nil {
			at = l.Expires
		}
	case trust.RoleSnapshot:
		if s, err := trust.ParseSnapshot([]byte(text)); err == nil {
			at = s.Expires
		}
	case trust.RoleTimestamp:
		if s, err := trust.ParseTimestamp([]byte(text)); err == nil {
			at = s.Expires
		}
	}
	return at, !at.IsZero()
}

// say says what is to be done.
func (t command) say(d *offline.Dir, rows map[string]fleet.Row) {
	for _, role := range []string{trust.RoleRoot, trust.RoleTargets} {
		if here, there := rows[role]["here"], rows[role]["server"]; there != "" && there != nil && here != there {
			t.Remark("%s %v is here, and %v at the server: fernwerk trust publish, or pull", role, here, there)
		}
	}
	soon := time.Now().Add(soonDays * 24 * time.Hour)
	if d.List().Expires.Before(soon) {
		t.Remark("the list counts until %s: fernwerk trust renew", day(d.List().Expires))
	}
	if d.Root().Expires.Before(soon) {
		t.Remark("the root counts until %s: fernwerk trust renew --root", day(d.Root().Expires))
	}
}

// soonDays is when an end is worth a word.
const soonDays = 60

func day(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") }

// keyNames are the ids of a role's keys, as much of each as tells them apart.
func keyNames(d *offline.Dir, role string, who trust.Role, keys trust.Keys) string {
	var out []string
	for _, id := range who.KeyIDs {
		name := id[:16]
		if d.Has(role, keys[id]) {
			name += "*"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}
