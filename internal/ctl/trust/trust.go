// Package trust is the commands about content trust: keys that are on no server,
// what they sign, and what a server was handed of it. The folder that they work on
// is package offline's.
package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Command is trust.
func Command(t *tool.Tool) *cobra.Command {
	s := command{t}
	c := &cobra.Command{
		Use: "trust", Short: "What hosts may run: keys that are on no server, and what they sign",
		Long: `What hosts may run is signed with keys that are on no server. They are in a
folder of yours, which "trust init" makes; keep it on a stick, or on a machine
that is not the server. Signing needs no network; "trust publish" hands a server
what it lacks.`,
	}
	c.AddCommand(s.initCommand(), s.onlineKeysCommand(), s.publishCommand(), s.pullCommand(), s.rotateCommand(), s.renewCommand(), s.statusCommand(),
		s.listCommand(), s.removeCommand(), s.confCommand())
	return c
}

func (t command) initCommand() *cobra.Command {
	var f signing.Flags
	var online string
	p := offline.Plan{}
	c := &cobra.Command{
		Use: "init DIR", Args: tool.Args,
		Short: "Make the keys of a fleet, root 1 and an empty list",
		Long: `Make a folder with the keys of a fleet, root 1 and an empty signed list. Every
key is in a file of its own, sealed with a passphrase; move them apart, so that
no theft of one place gets --threshold of the root's keys. Losing so many that
fewer than --threshold are left means that every host must be told anew.

The public keys of the server are asked of it, or read from a file that
"trust online-keys" wrote, on a machine without a network.`,
		Example: `  fernwerk trust init /media/stick/trust --root-keys 3 --threshold 2
  fernwerk trust online-keys > online.json && fernwerk trust init ./trust --online online.json`,
		RunE: func(c *cobra.Command, given []string) error { return t.init(c.Context(), given[0], p, online, &f) },
	}
	c.Flags().IntVar(&p.RootKeys, "root-keys", 3, "how many keys the root has")
	c.Flags().IntVar(&p.RootThreshold, "threshold", 2, "how many of them a next root needs")
	c.Flags().IntVar(&p.TargetsKeys, "targets-keys", 1, "how many keys sign the list")
	c.Flags().IntVar(&p.TargetsThreshold, "targets-threshold", 1, "how many of them the list needs")
	c.Flags().StringVar(&online, "online", "", "a file with the server's public keys, instead of asking the server")
	f.Add(c)
	return c
}

func (t command) init(ctx context.Context, dir string, p offline.Plan, online string, f *signing.Flags) (err error) {
	if p.Online, err = t.online(ctx, online, false); err != nil {
		return err
	}
	ring, err := f.Ring(t.Tool)
	if err != nil {
		return err
	}
	if err := offline.Init(dir, p, ring, time.Now()); err != nil {
		return err
	}
	return t.Say(map[string]any{"folder": dir, "root": 1, "rootKeys": p.RootKeys, "threshold": p.RootThreshold, "targetsKeys": p.TargetsKeys, "targetsThreshold": p.TargetsThreshold},
		"made %s: root 1 with %d keys, of which %d are needed; next: fernwerk trust publish %s", dir, p.RootKeys, p.RootThreshold, dir)
}

// maxKeysFile is in bytes.
const maxKeysFile = 64 << 10

// online are a server's public keys, from a file or from itself.
func (t command) online(ctx context.Context, file string, fresh bool) (offline.Online, error) {
	if file == "" {
		if fresh {
			return offline.MakeKeys(ctx, t.Tool)
		}
		there, err := offline.Ask(ctx, t.Tool)
		if err != nil {
			return nil, err
		}
		return there.Online, nil
	}
	data, err := os.ReadFile(file)
	if err == nil && len(data) > maxKeysFile {
		err = fmt.Errorf("it is longer than %d bytes", maxKeysFile)
	}
	keys := offline.Online{}
	if err == nil {
		err = json.Unmarshal(data, &keys)
	}
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot read the server's keys from %s: %w", file, err), "write it with: fernwerk trust online-keys > %s", file)
	}
	return keys, nil
}

func (t command) onlineKeysCommand() *cobra.Command {
	var fresh bool
	c := &cobra.Command{
		Use: "online-keys", Args: tool.Args,
		Short: "Print a server's public keys, for a machine without a network",
		RunE: func(c *cobra.Command, _ []string) error {
			keys, err := t.online(c.Context(), "", fresh)
			if err != nil {
				return err
			}
			return t.WriteJSON(keys)
		},
	}
	c.Flags().BoolVar(&fresh, "new", false, "have the server make new ones, for: fernwerk trust rotate online")
	return c
}

func (t command) publishCommand() *cobra.Command {
	var f signing.Flags
	var dryRun bool
	c := &cobra.Command{
		Use: "publish [DIR]", Args: tool.Args,
		Short: "Hand a server what was signed and it lacks",
		Long: `Hand a server the roots, the list and the contents that it lacks. All of it
counts or nothing. A server that has something else under a number that was
used here is left alone: take its list with "trust pull", and sign again.`,
		RunE: func(c *cobra.Command, given []string) error { return t.publish(c.Context(), first(given), dryRun, &f) },
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.AddDir(c)
	return c
}

func first(given []string) string { return strings.Join(given, "") }

func (t command) publish(ctx context.Context, dir string, dryRun bool, f *signing.Flags) error {
	d, err := f.Open(t.Tool, dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if dryRun {
		roots, list, err := d.Lacks(ctx, t.Tool)
		switch {
		case err != nil:
			return err
		case roots == 0 && !list:
			return t.Say(map[string]any{"dryRun": true, "lacks": false, "root": d.Root().Version, "targets": d.List().Version}, "would publish nothing: the server has root %d and list %d", d.Root().Version, d.List().Version)
		}
		return t.Say(map[string]any{"dryRun": true, "lacks": true, "root": d.Root().Version, "targets": d.List().Version}, "would publish: root %d, list %d", d.Root().Version, d.List().Version)
	}
	p, err := d.Publish(ctx, t.Tool)
	if err != nil {
		return err
	}
	return t.Say(p, "published: root %d, list %d", p["root"], p["targets"])
}

func (t command) pullCommand() *cobra.Command {
	var f signing.Flags
	var discard bool
	c := &cobra.Command{
		Use: "pull [DIR]", Args: tool.Args,
		Short: "Take the roots and the list that a server has",
		Long: `Take the roots and the list that a server has, if they are signed by the keys
that the folder knows: somebody else has signed with another copy of it. A list
here that was never published is kept unless --discard gives it up; what it
named otherwise is printed, to be signed again.`,
		RunE: func(c *cobra.Command, given []string) error {
			d, err := f.Open(t.Tool, first(given))
			if err != nil {
				return err
			}
			defer d.Close()
			p, err := d.Pull(c.Context(), t.Tool, discard)
			if err != nil {
				return err
			}
			for _, name := range p.Lost {
				t.Remark("was otherwise here: %s", name)
			}
			return t.Say(map[string]any{"root": p.Root, "targets": p.Targets, "lost": p.Lost}, "root %d, list %d", p.Root, p.Targets)
		},
	}
	f.AddDir(c)
	c.Flags().BoolVar(&discard, "discard", false, "give up a list that was never published")
	return c
}
