package trust

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

func (t command) rotateCommand() *cobra.Command {
	var f signing.Flags
	var key, online string
	var dryRun bool
	c := &cobra.Command{
		Use: "rotate WHAT [DIR]", Args: tool.Args,
		Short: "Replace a key: root, targets, or online for the server's",
		Long: `Replace a key, by a next root that the old keys and the new ones sign, so that
hosts follow by themselves.

  root     a key of the root: it was lost, or somebody leaves
  targets  a key that signs the list
  online   the server's keys: it was taken over, or set up anew

The key that is there longest is replaced, or the one whose id begins with
--key. Then publish. The old key's file is put aside as FILE.old. A key of the
list may be lost: the keys of the root are enough to name another.`,
		Example: `  fernwerk trust rotate root /media/stick/trust && fernwerk trust publish /media/stick/trust
  fernwerk trust rotate online ./trust --online new-keys.json`,
		ValidArgs: []string{trust.RoleRoot, trust.RoleTargets, "online"},
		RunE: func(c *cobra.Command, given []string) error {
			r := offline.Rotation{Role: given[0], Key: key}
			switch {
			case given[0] == "online" && key != "":
				return tool.Misused(c, "--key goes with root and targets")
			case given[0] == "online":
				r.Role = ""
			case given[0] != trust.RoleRoot && given[0] != trust.RoleTargets:
				return tool.Misused(c, "cannot rotate %q: want root, targets or online", given[0])
			case online != "":
				return tool.Misused(c, "--online goes with: trust rotate online")
			}
			return t.rotate(c.Context(), first(given[1:]), r, online, &f, dryRun)
		},
	}
	c.Flags().StringVar(&key, "key", "", "the id of the key to replace, or its beginning")
	c.Flags().StringVar(&online, "online", "", "a file with the server's new public keys, instead of asking the server")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.AddDir(c)
	f.Add(c)
	return c
}

func (t command) rotate(ctx context.Context, dir string, r offline.Rotation, online string, f *signing.Flags, dryRun bool) error {
	d, err := f.Open(t.Tool, dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if r.Role == "" {
		if r.Online, err = t.online(ctx, online, true); err != nil {
			return err
		}
	}
	if dryRun {
		what := r.Role
		if what == "" {
			what = "online"
		}
		return t.Say(map[string]any{"dryRun": true, "root": d.Root().Version + 1, "role": what}, "would sign root %d, with another key of %s", d.Root().Version+1, what)
	}
	ring, err := f.Ring(t.Tool)
	if err != nil {
		return err
	}
	version, err := d.Rotate(r, ring, time.Now())
	if err != nil {
		return err
	}
	return t.Say(map[string]any{"root": version, "targets": d.List().Version}, "signed root %d; next: fernwerk trust publish", version)
}

func (t command) renewCommand() *cobra.Command {
	var f signing.Flags
	var root, dryRun bool
	c := &cobra.Command{
		Use: "renew [DIR]", Args: tool.Args,
		Short: "Sign the same list again, so that it counts longer",
		Long: `Sign the same list again, so that it counts for another year; with --root the
root, for three. Hosts go on with an expired one, and say that it is stale.`,
		RunE: func(c *cobra.Command, given []string) error {
			d, err := f.Open(t.Tool, first(given))
			if err != nil {
				return err
			}
			defer d.Close()
			if dryRun {
				nextRoot, list := d.Root().Version, d.List().Version
				if root {
					nextRoot++
				} else {
					list++
				}
				return t.Say(map[string]any{"dryRun": true, "root": nextRoot, "targets": list}, "would sign: root %d, list %d", nextRoot, list)
			}
			ring, err := f.Ring(t.Tool)
			if err != nil {
				return err
			}
			if root {
				_, err = d.Rotate(offline.Rotation{}, ring, time.Now())
			} else {
				_, err = d.Sign(ring, time.Now())
			}
			if err != nil {
				return err
			}
			return t.Say(map[string]any{"root": d.Root().Version, "targets": d.List().Version}, "signed: root %d, list %d; next: fernwerk trust publish", d.Root().Version, d.List().Version)
		},
	}
	c.Flags().BoolVar(&root, "root", false, "the root, instead of the list")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.AddDir(c)
	f.Add(c)
	return c
}

func (t command) listCommand() *cobra.Command {
	var f signing.Flags
	c := &cobra.Command{
		Use: "list [DIR]", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List what is signed",
		RunE: func(c *cobra.Command, given []string) error {
			d, err := f.Open(t.Tool, first(given))
			if err != nil {
				return err
			}
			defer d.Close()
			rows := []fleet.Row{}
			for _, name := range d.Names("") {
				target, _ := d.Find(name)
				rows = append(rows, fleet.Row{"name": name, "bytes": target.Length, "sha256": hexOf(target)})
			}
			return t.List(rows, "nothing is signed", "name", "bytes", "sha256")
		},
	}
	f.AddDir(c)
	return c
}

func (t command) removeCommand() *cobra.Command {
	var f signing.Flags
	var dryRun bool
	c := &cobra.Command{
		Use: "remove NAME...", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Take names from the signed list, and sign it",
		Long: `Take names from the signed list, and sign it. After it was published no host
begins with them any more; what runs or is installed stays.`,
		Example: "  fernwerk trust remove product/firefox/128.0-1/any --trust ./trust",
		RunE: func(c *cobra.Command, given []string) error {
			d, err := f.Open(t.Tool, "")
			if err != nil {
				return err
			}
			defer d.Close()
			for _, name := range given {
				if !d.Remove(name) {
					return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot remove %q: it is not on the list", name), "the names are in: fernwerk trust list")
				}
			}
			if dryRun {
				return t.Say(map[string]any{"dryRun": true, "removed": given}, "would remove %s", join(given))
			}
			return t.sign(d, &f, given, "removed")
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.AddDir(c)
	f.Add(c)
	return c
}

// sign signs the next list and says so.
func (t command) sign(d *offline.Dir, f *signing.Flags, names []string, did string) error {
	ring, err := f.Ring(t.Tool)
	if err != nil {
		return err
	}
	version, err := d.Sign(ring, time.Now())
	if err != nil {
		return err
	}
	return t.Say(map[string]any{did: names, "targets": version}, "%s %s: list %d; next: fernwerk trust publish", did, join(names), version)
}
