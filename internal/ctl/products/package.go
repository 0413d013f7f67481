package products

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

func (t command) packageCommand() *cobra.Command {
	c := &cobra.Command{Use: "package", Short: "Packages (.opsi): build, check, install, list, remove"}
	var depot string
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List the packages that a depot has installed",
		RunE:  func(c *cobra.Command, _ []string) error { return t.packageList(c.Context(), depot) },
	}
	t.DepotFlag(list, &depot)
	c.AddCommand(t.packageBuildCommand(), t.packageSignCommand(), t.packageLintCommand(), t.packageShowCommand(), t.packageExtractCommand(), t.packageInstallCommand(), list, t.packageRemoveCommand())
	return c
}

func (t command) packageList(ctx context.Context, depot string) error {
	conn, done, err := t.Depot(ctx, depot)
	if err != nil {
		return err
	}
	defer done()
	var list []fleet.Row
	if err := conn.Packages(ctx, "GET", "", nil, 0, &list); err != nil {
		return err
	}
	for _, r := range list {
		r["version"] = r.Str("productVersion") + "-" + r.Str("packageVersion")
		if !t.JSON {
			r["size"] = size(r["bytes"])
		}
	}
	return t.List(list, "no packages", "product", "version", "name", "files", "size", "locked")
}

// size words a number of bytes that came as JSON.
func size(v any) string {
	n, _ := v.(float64)
	return term.Bytes(int64(n))
}
