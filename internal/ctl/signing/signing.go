// Package signing gives commands that sign their flags: which folder of content
// trust (package offline), where its key files are, and whence the passphrase
// comes.
package signing

import (
	"bufio"
	"cmp"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// The environment that stands in for flags.
const (
	dirVariable        = "FERNWERK_TRUST"
	passphraseVariable = "FERNWERK_TRUST_PASSPHRASE"
)

// Flags are those of one command.
type Flags struct {
	Dir            string // --trust
	passphraseFile string
	keys           []string
}

// AddDir adds --trust, for commands whose arguments name something else.
func (f *Flags) AddDir(c *cobra.Command) {
	c.Flags().StringVar(&f.Dir, "trust", "", "the folder of content trust ("+dirVariable+")")
}

// Add adds the flags about keys.
func (f *Flags) Add(c *cobra.Command) {
	c.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "a file whose first line is the passphrase of the keys ("+passphraseVariable+" holds the passphrase itself)")
	c.Flags().StringArrayVar(&f.keys, "keys", nil, "look for key files in this folder too: a stick, say (repeatable)")
}

// Named tells whether a folder is named, by the flag or the environment.
func (f *Flags) Named(t *tool.Tool) bool {
	return cmp.Or(f.Dir, t.Source.Getenv(dirVariable)) != ""
}

// Open opens the folder. dir is what an argument says, "" for the flag and the
// environment.
func (f *Flags) Open(t *tool.Tool, dir string) (*offline.Dir, error) {
	path := cmp.Or(dir, f.Dir, t.Source.Getenv(dirVariable))
	if path == "" {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot sign: no folder of content trust is named"), "name it with --trust DIR, or set %s", dirVariable)
	}
	d, err := offline.Open(path)
	if err == nil {
		d.Keys = f.keys
	}
	return d, err
}

// Ring opens keys, and asks for passphrases where it must.
func (f *Flags) Ring(t *tool.Tool) (*offline.Ring, error) {
	given := t.Source.Getenv(passphraseVariable)
	if f.passphraseFile != "" {
		line, err := firstLine(f.passphraseFile)
		if err != nil {
			return nil, err
		}
		given = line
	}
	if given != "" {
		same := func() (string, error) { return given, nil }
		return &offline.Ring{Ask: func(string) (string, error) { return same() }, New: same}, nil
	}
	ring := &offline.Ring{Ask: func(file string) (string, error) {
		return ask(t, "Passphrase of "+file+": ")
	}}
	made := "" // one for all keys of a run
	ring.New = func() (string, error) {
		if made != "" {
			return made, nil
		}
		first, err := ask(t, "New passphrase for the keys: ")
		if err != nil {
			return "", err
		}
		second, err := ask(t, "Once more: ")
		if err == nil && first != second {
			err = fleet.Errorf(fleet.Invalid, "the two passphrases differ: nothing was made")
		}
		if err == nil {
			made = first
		}
		return made, err
	}
	return ring, nil
}

func ask(t *tool.Tool, question string) (string, error) {
	if t.Person() == nil {
		return "", fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot ask for the passphrase: this is no terminal"),
			"use --passphrase-file FILE, or set %s", passphraseVariable)
	}
	return t.AskSecret(question)
}

// firstLine is what a person wrote into a file.
func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fleet.Errorf(fleet.NotFound, "cannot read the passphrase: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan()
	if err := lines.Err(); err != nil {
		return "", fleet.Errorf(fleet.Invalid, "cannot read the passphrase: %w", err)
	}
	line := strings.TrimSuffix(lines.Text(), "\r")
	if line == "" {
		return "", fleet.Errorf(fleet.Invalid, "cannot use the passphrase in %s: the first line is empty", path)
	}
	return line, nil
}
