package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// usageError is a wrong command line: exit status 2.
type usageError struct{ text, next string }

func (e *usageError) Error() string { return e.text }

// ExitCode is 2, see docs/reference/exit-codes.md.
func (*usageError) ExitCode() int { return 2 }

// Hint is the next step.
func (e *usageError) Hint() string { return e.next }

// misused is a command line that cannot be meant.
func misused(c *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), "try: " + c.CommandPath() + " --help"}
}

// group makes a command that only holds others say what it holds, and refuse what it
// does not.
func group(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, given []string) error {
		if len(given) == 0 {
			return c.Help()
		}
		return unknown(c, given[0])
	}
	return c
}

// unknown names the nearest command.
func unknown(c *cobra.Command, word string) error {
	var names []string
	for _, sub := range c.Commands() {
		names = append(append(names, sub.Name()), sub.Aliases...)
	}
	return misused(c, "unknown command %q for %q%s", word, c.CommandPath(), nearest.Phrase(word, names))
}

// arguments checks the number of arguments by the names that Use gives them.
func arguments(c *cobra.Command, given []string) error {
	names, least := strings.Fields(c.Use)[1:], 0
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
	}
	switch {
	case c.HasSubCommands() && len(given) > 0:
		return unknown(c, given[0])
	case len(given) < least:
		return misused(c, "cannot run %q: %s is missing", c.CommandPath(), names[len(given)])
	case len(given) > len(names):
		return misused(c, "cannot run %q: %q is one argument too many", c.CommandPath(), given[len(names)])
	}
	return nil
}

// flagError words what is wrong with a flag, and names the nearest right one.
func flagError(c *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || len(unknown.GetSpecifiedName()) < 2 {
		return misused(c, "cannot run %q: %s", c.CommandPath(), err)
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return misused(c, "unknown flag --%s for %q%s", unknown.GetSpecifiedName(), c.CommandPath(), nearest.Phrase(unknown.GetSpecifiedName(), names))
}
