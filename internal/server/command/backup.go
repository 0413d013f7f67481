package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/backup"
)

func backUp(version string) *cobra.Command {
	var o options
	var what server.BackupOptions
	var asJSON, check bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of the server, which may be running",
		Long: `Write database, keys and configuration into one file, while the server runs or
not. The file is read back and compared before it gets its name, so a FILE that
is there is whole. It holds the keys of the fleet: keep it as you would keep
those. Run it as the user of the server.`,
		Example: `  fernwerkd backup /backup/fernwerk.backup
  fernwerkd backup --config /etc/fernwerkd.toml --depot --logs /backup/all.backup
  fernwerkd backup --check /backup/fernwerk.backup`,
		Args: arguments,
		RunE: func(c *cobra.Command, args []string) error {
			if check {
				contents, err := backup.Check(c.Context(), args[0])
				if err != nil {
					return err
				}
				return tell(c.OutOrStdout(), asJSON, contents, "good: "+args[0]+": "+summary(contents))
			}
			cfg, err := o.config()
			if err != nil {
				return err
			}
			cfg.Version, what.Config = version, o.file
			contents, err := server.Backup(c.Context(), cfg, args[0], what)
			if err != nil {
				return err
			}
			return tell(c.OutOrStdout(), asJSON, contents, "written: "+args[0]+": "+summary(contents))
		},
	}
	c.Flags().BoolVar(&what.Depot, "depot", false, "with the products of the depot; else their packages are installed again")
	c.Flags().BoolVar(&what.Logs, "logs", false, "with the logs that hosts have sent")
	c.Flags().BoolVar(&check, "check", false, "only check a backup that is there")
	c.Flags().BoolVar(&asJSON, "json", false, "print what is in it as JSON")
	o.define(c)
	return c
}

func restore() *cobra.Command {
	var o options
	var force, asJSON bool
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in place, while the server is stopped",
		Long: `Put a backup into the data folder and the database that --data and --config name.
Both must be unused, unless --force says to replace what is there: its files are
put aside then. The engine may be another one than that of the backup. Clients
notice by themselves that the history is another one.`,
		Example: `  fernwerkd restore --data /var/lib/fernwerk /backup/fernwerk.backup`,
		Args:    arguments,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			r, err := server.Restore(c.Context(), cfg, args[0], force)
			if err != nil {
				return err
			}
			text := "restored: " + summary(r.Contents)
			if r.Replaced != "" {
				text += "\nwhat was there before is in " + r.Replaced
			}
			if !r.Contents.Depot {
				text += "\nit holds no products: install their packages again, or put the depot's folder back"
			}
			return tell(c.OutOrStdout(), asJSON, r, text)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace what is there")
	c.Flags().BoolVar(&asJSON, "json", false, "print what was done as JSON")
	o.define(c)
	return c
}

func summary(c *backup.Contents) string {
	var bytes int64
	for _, m := range c.Members {
		bytes += m.Size
	}
	return fmt.Sprintf("revision %d of %s, %d files, %d MB, made %s", c.Position.Revision, c.Engine, len(c.Members), (bytes+999_999)/1_000_000, c.Made.Format("2006-01-02 15:04:05 MST"))
}

func tell(w io.Writer, asJSON bool, v any, text string) error {
	if !asJSON {
		_, err := fmt.Fprintln(w, text)
		return err
	}
	data, err := json.MarshalIndent(v, "", "  ")
	_, failed := fmt.Fprintln(w, string(data))
	return errors.Join(err, failed)
}

// clusterKey makes what a second server needs from the first.
func clusterKey() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "cluster-key",
		Short: "Print the fleet's key for another server, making it if there is none",
		Long: `Print the key that all servers on one database share. Another server finds it in
its data folder as cluster.key, mode 0600, before its first start. Whoever has it
and the database has the fleet: bring it there on a way that you trust.`,
		Example: `  fernwerkd cluster-key | ssh second 'umask 077; cat > /var/lib/fernwerk/cluster.key'`,
		Args:    arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return err
			}
			text, err := server.ClusterKey(cfg)
			if err == nil {
				_, err = fmt.Fprint(c.OutOrStdout(), text)
			}
			return err
		},
	}
	o.define(c)
	return c
}
