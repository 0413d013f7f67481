package ctl

import (
	"context"

	"github.com/spf13/cobra"
)

func (t *tool) packageCommand() *cobra.Command {
	c := &cobra.Command{Use: "package", Short: "Packages (.opsi): build, install, list, remove"}
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: args,
		Short: "List the packages that the server's depot has installed",
		RunE:  func(c *cobra.Command, _ []string) error { return t.packageList(c.Context()) },
	}
	c.AddCommand(t.packageBuildCommand(), t.packageInstallCommand(), list, t.packageRemoveCommand())
	return c
}

func (t *tool) packageList(ctx context.Context) error {
	conn, err := t.server(ctx)
	if err != nil {
		return err
	}
	var list []map[string]any
	if err := conn.packages(ctx, "GET", "", nil, 0, &list); err != nil {
		return err
	}
	rows := tabular(anys(list))
	for _, r := range rows {
		r["version"] = r.Str("productVersion") + "-" + r.Str("packageVersion")
		if !t.flags.json {
			r["size"] = size(r["bytes"])
		}
	}
	return t.list(rows, "no packages", "product", "version", "name", "files", "size", "locked")
}
