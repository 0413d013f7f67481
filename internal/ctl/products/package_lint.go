package products

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet/archive/lint"
)

func (t command) packageLintCommand() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use: "lint DIR", Args: tool.Args,
		Short: "Look through a product's source folder for what will go wrong",
		Long: `Look through a product's source folder for what will go wrong: control data
that cannot be read, scripts that are missing or that their interpreter will
not understand, names that Windows cannot hold, links that lead out, what
editors and version control leave behind. Nothing is changed.

Exit status 1: there are errors, or with --strict warnings.`,
		Example: "  fernwerk package lint ./firefox --strict && fernwerk package build ./firefox",
		RunE:    func(c *cobra.Command, given []string) error { return t.packageLint(c.Context(), given[0], strict) },
	}
	c.Flags().BoolVar(&strict, "strict", false, "fail on warnings too")
	return c
}

func (t command) packageLint(ctx context.Context, dir string, strict bool) error {
	root, err := openSource(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	found, err := lint.Source(ctx, root.FS())
	if err != nil {
		return err
	}
	errors, warnings := 0, 0
	for _, f := range found {
		if f.Severity == lint.Error {
			errors++
		} else {
			warnings++
		}
	}
	if t.JSON {
		if found == nil {
			found = []lint.Finding{}
		}
		if err := t.WriteJSON(found); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			if err := t.Say(nil, "%s: %s: %s", f.Severity, f.Path, f.Text); err != nil {
				return err
			}
		}
	}
	if errors > 0 || strict && warnings > 0 {
		return fmt.Errorf("%s: %d errors, %d warnings", dir, errors, warnings)
	}
	t.Remark("%s: %d warnings", dir, warnings)
	return nil
}
