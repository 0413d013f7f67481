package updates

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// wished is what the flags of `new` say.
type wished struct {
	dir, title, number, timeout string
	after                       []string
	header                      update.Header
}

func (t command) newCommand() *cobra.Command {
	var w wished
	c := &cobra.Command{
		Use: "new NAME", Args: tool.Args,
		Short: "Begin an update: a numbered file with its header",
		Long: `Begin an update: make a file NNN-NAME.sh with its header, to be filled with a
script. The number follows the highest one in the folder.`,
		Example: "  fernwerk update new motd --title 'Say who owns this machine' --after 003",
		RunE:    func(_ *cobra.Command, given []string) error { return t.begin(given[0], w) },
	}
	f := c.Flags()
	f.StringVar(&w.dir, "in", ".", "the folder of updates")
	f.StringVar(&w.number, "number", "", "the number, 000 to 999")
	f.StringVar(&w.title, "title", "", "one line for people (default the name)")
	f.StringSliceVar(&w.header.Platforms, "platforms", nil, "linux, macos, windows (default all)")
	f.StringSliceVar(&w.header.Groups, "groups", nil, "host groups (default all hosts)")
	f.StringSliceVar(&w.header.NodeTypes, "node-types", nil, "node types (default all)")
	f.StringVar(&w.header.Audience, "audience", update.Hosts, "hosts, feed (bare nodes) or both")
	f.StringSliceVar(&w.after, "after", nil, "numbers of updates that must have been done")
	f.StringVar(&w.timeout, "timeout", "10m", "how long it may take, up to 24h")
	f.StringVar(&w.header.OnFailure, "on-failure", update.Stop, "what later updates do when it fails: stop or continue")
	f.StringVar(&w.header.OnInterrupt, "on-interrupt", update.Ask, "what is done when it was cut off: retry, ask or skip")
	f.StringVar(&w.header.Suffix, "suffix", ".sh", "the kind of script: .sh, .py, .pl, .ps1, .cmd")
	for name, words := range map[string][]string{"platforms": update.Platforms, "audience": {update.Hosts, update.Feed, update.Both}, "on-failure": {update.Stop, update.Continue},
		"on-interrupt": {update.Retry, update.Ask, update.Skip}, "suffix": update.Suffixes} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // they exist: they were added above
	}
	return c
}

// beginnings are the first lines of new scripts.
var beginnings = map[string]string{".sh": "#!/bin/sh\n", ".py": "#!/usr/bin/env python3\n", ".pl": "#!/usr/bin/env perl\n"}

func (t command) begin(name string, w wished) error {
	h := w.header
	h.ID, h.Title = name, w.title
	if h.Title == "" {
		h.Title = name
	}
	if h.Suffix == ".sh" {
		h.Suffix = ""
	}
	slices.Sort(h.Platforms)
	slices.Sort(h.Groups)
	slices.Sort(h.NodeTypes)
	for _, text := range w.after {
		n, err := update.Number(text)
		if err != nil {
			return err
		}
		h.After = append(h.After, n)
	}
	slices.Sort(h.After)
	var err error
	if h.Timeout, err = update.ReadTime(w.timeout); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot begin an update: --timeout: %w", err)
	}
	if w.number != "" {
		h.Number, err = update.Number(w.number)
	} else {
		h.Number, err = nextNumber(w.dir)
	}
	if err != nil {
		return err
	}
	suffix := h.Suffix
	if suffix == "" {
		suffix = ".sh"
	}
	text := beginnings[suffix] + h.Text()
	switch suffix {
	case ".sh":
		text += "set -eu\n"
	case ".cmd", ".bat":
		text += "@echo off\n"
	default:
		text += "# the script\n"
	}
	if _, err := update.Parse([]byte(text)); err != nil {
		return err
	}
	path := filepath.Join(w.dir, update.Name(h.Number)+"-"+name+suffix)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return fmt.Errorf("cannot begin an update: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot begin an update: %w", err)
	}
	return t.Say(map[string]any{"file": path, "number": update.Name(h.Number), "id": h.ID}, "made %s", path)
}

var numbered = regexp.MustCompile(`^([0-9]{3})-`)

// nextNumber follows the highest one in a folder.
func nextNumber(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("cannot look for updates: %w", err)
	}
	next := 0
	for _, e := range entries {
		if m := numbered.FindStringSubmatch(e.Name()); m != nil {
			n, err := update.Number(m[1])
			if err != nil {
				return 0, err
			}
			next = max(next, n+1)
		}
	}
	if next > update.MaxNumber {
		return 0, fleet.Errorf(fleet.TooLarge, "cannot begin an update: the numbers are used up")
	}
	return next, nil
}
