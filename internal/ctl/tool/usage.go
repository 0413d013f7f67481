package tool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// exitPartly is the one exit code that is given here; the others come with the
// error.
const exitPartly = 3

// Misused is a command line that cannot be meant.
func Misused(c *cobra.Command, format string, args ...any) error {
	return &console.Misuse{Text: fmt.Sprintf(format, args...), Next: fmt.Sprintf("try: %s --help", c.CommandPath())}
}

// Args checks the number of arguments by the names that Use gives them, such as
// "show HOST", "delete HOST..." or "set PRODUCT ACTION".
func Args(c *cobra.Command, given []string) error {
	names := strings.Fields(c.Use)[1:]
	least, most := 0, len(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
		if strings.HasSuffix(strings.TrimSuffix(name, "]"), "...") {
			most = len(given)
		}
	}
	switch {
	case len(given) < least:
		return Misused(c, "cannot run %q: %s is missing", c.CommandPath(), names[len(given)])
	case len(given) > most:
		return Misused(c, "cannot run %q: %q is one argument too many", c.CommandPath(), given[most])
	}
	return nil
}

// Group makes a command that only holds others say what it holds, and refuse
// what it does not.
func Group(c *cobra.Command) {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, given []string) error {
		if len(given) == 0 {
			return c.Help()
		}
		var names []string
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				names = append(append(names, sub.Name()), sub.Aliases...)
			}
		}
		return Misused(c, "unknown command %q for %q%s", given[0], c.CommandPath(), nearest.Phrase(given[0], names))
	}
}

// FlagError words what is wrong with a flag, and names the nearest right one.
func FlagError(c *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || len(unknown.GetSpecifiedName()) < 2 {
		return Misused(c, "cannot run %q: %s", c.CommandPath(), err)
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	text := fmt.Sprintf("unknown flag --%s for %q", unknown.GetSpecifiedName(), c.CommandPath())
	if near, ok := nearest.Suggest(unknown.GetSpecifiedName(), names); ok {
		text += fmt.Sprintf(" (did you mean --%s?)", near)
	}
	return Misused(c, "%s", text)
}

// OneOf refuses a word that is not among the right ones.
func OneOf(c *cobra.Command, what, word string, right []string) error {
	for _, r := range right {
		if word == r {
			return nil
		}
	}
	return Misused(c, "unknown %s %q%s: it is one of %s", what, word, nearest.Phrase(word, right), strings.Join(right, ", "))
}

// Partly is the error of a command that did some of its work; what failed has
// been said.
type Partly struct{ Failed, All int }

func (p *Partly) Error() string { return fmt.Sprintf("%d of %d failed", p.Failed, p.All) }

// ExitCode is 3, see docs/reference/exit-codes.md.
func (p *Partly) ExitCode() int { return exitPartly }
