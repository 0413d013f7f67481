package updates

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

func (t command) signCommand() *cobra.Command {
	var f signing.Flags
	var replace bool
	c := &cobra.Command{
		Use: "sign FILE...", Args: tool.Args,
		Short: "Sign updates, without a network",
		Long: `Sign updates: put them into the list of a folder of content trust, and sign the
list. It needs no network; "fernwerk trust publish" hands in what was signed.`,
		Example: "  fernwerk update sign --trust ~/trust 017-motd.sh",
		RunE:    func(_ *cobra.Command, given []string) error { return t.sign(given, &f, replace) },
	}
	f.AddDir(c)
	f.Add(c)
	c.Flags().BoolVar(&replace, "replace", false, "sign other content under a number that is signed already, and was run nowhere")
	return c
}

func (t command) sign(paths []string, f *signing.Flags, replace bool) (err error) {
	dir, err := f.Open(t.Tool, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	var signed []string
	for _, path := range paths {
		u, data, err := read(path)
		if err != nil {
			return err
		}
		name := update.Target(u.Number)
		if before, there := dir.Find(name); there && before.SHA256 != trust.TargetOf(data).SHA256 && !replace {
			return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot sign update %s: other content is signed under this number", update.Name(u.Number)),
				"hosts that ran that never run this: give it a new number, or add --replace if it was never published")
		}
		if err := dir.Add(name, data, nil); err != nil {
			return err
		}
		signed = append(signed, update.Name(u.Number))
	}
	said := map[string]any{"signed": signed, "version": int64(0)}
	if !dir.Changed() {
		return t.Say(said, "signed already")
	}
	ring, err := f.Ring(t.Tool)
	if err != nil {
		return err
	}
	version, err := dir.Sign(ring, time.Now())
	if err != nil {
		return err
	}
	said["version"] = version
	if err := t.Say(said, "signed %s: list %d", strings.Join(signed, ", "), version); err != nil {
		return err
	}
	t.Remark("hand it in with: fernwerk trust publish, then: fernwerk update publish %s --ring 5%%", signed[0])
	return nil
}
