package ctl

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

// docsCommand writes the man pages; it is for those who build packages.
func docsCommand(t *tool.Tool) *cobra.Command {
	return &cobra.Command{
		Use: "gen-docs DIR", Args: tool.Args, Hidden: true,
		Short: "Write the man pages of all commands into a folder",
		RunE: func(c *cobra.Command, given []string) error {
			if err := os.MkdirAll(given[0], 0o755); err != nil {
				return err
			}
			c.Root().DisableAutoGenTag = true // builds are reproducible
			header := &doc.GenManHeader{Section: "1", Source: "Fernwerk " + t.Version, Manual: "Fernwerk"}
			if err := doc.GenManTree(c.Root(), header, given[0]); err != nil {
				return fmt.Errorf("cannot write the man pages: %w", err)
			}
			return nil
		},
	}
}

// reference is the page docs/reference/fernwerk.md, made from the commands.
func reference(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString("# fernwerk, command by command\n\n" +
		"This page is made from the commands themselves, which say the same with `--help`. What they have in common stands in\n" +
		"[Commands](commands.md).\n\n")
	fmt.Fprintf(&b, "Every command takes:\n\n")
	options(&b, root.PersistentFlags())
	for _, c := range root.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		fmt.Fprintf(&b, "\n## fernwerk %s\n\n", c.Use)
		describe(&b, c)
		leaves(&b, c)
	}
	return b.Bytes()
}

func leaves(b *bytes.Buffer, c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Hidden {
			continue
		}
		if sub.HasSubCommands() {
			leaves(b, sub)
			continue
		}
		fmt.Fprintf(b, "\n### %s %s\n\n", sub.Parent().CommandPath(), sub.Use)
		describe(b, sub)
	}
}

func describe(b *bytes.Buffer, c *cobra.Command) {
	if c.Long != "" {
		fmt.Fprintln(b, c.Long)
	} else {
		fmt.Fprintf(b, "%s.\n", c.Short)
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", strings.TrimRight(c.Example, "\n"))
	}
	if !c.HasSubCommands() && c.HasAvailableLocalFlags() {
		b.WriteString("\n")
		options(b, c.LocalNonPersistentFlags())
	}
}

func options(b *bytes.Buffer, flags *pflag.FlagSet) {
	b.WriteString("| flag | is |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, text := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if kind != "" {
			name += " " + kind
		}
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if f.DefValue != "" && !strings.Contains("|false|0|0s|[]|", "|"+f.DefValue+"|") {
			text += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(text, "|", `\|`))
	})
}
