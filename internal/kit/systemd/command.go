package systemd

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Command is `PROGRAM service print|install|remove`; unit is asked when it is run.
func Command(unit func() (Unit, error)) *cobra.Command {
	root := &cobra.Command{Use: "service", Short: "Runs this program as a service of systemd", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	add := func(use, short string, do func(c *cobra.Command, u Unit) error) {
		root.AddCommand(&cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			u, err := unit()
			if err != nil {
				return err
			}
			return do(c, u)
		}})
	}
	add("print", "Prints the unit", func(c *cobra.Command, u Unit) error {
		text, err := u.Text()
		if err == nil {
			_, err = fmt.Fprint(c.OutOrStdout(), text)
		}
		return err
	})
	add("install", "Writes the unit, and has it started now and at each boot", func(c *cobra.Command, u Unit) error {
		path, err := u.Install(c.Context())
		if err == nil {
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is written, and %s runs\n", path, u.Name)
		}
		return err
	})
	add("remove", "Stops the service and removes its unit; data stays", func(c *cobra.Command, u Unit) error {
		return u.Remove(c.Context())
	})
	return root
}
