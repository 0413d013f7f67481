package login

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func (t command) contextCommand() *cobra.Command {
	c := &cobra.Command{Use: "context", Short: "Saved logins: list, use, delete"}
	c.AddCommand(
		&cobra.Command{
			Use: "list", Aliases: []string{"ls"}, Args: tool.Args,
			Short: "List the saved logins, without their passwords",
			RunE:  func(*cobra.Command, []string) error { return t.contextList() },
		},
		&cobra.Command{
			Use: "use NAME", Args: tool.Args,
			Short:             "Make a saved login the current one",
			ValidArgsFunction: t.completeContext,
			RunE: func(_ *cobra.Command, given []string) error {
				if err := t.Source.Use(given[0]); err != nil {
					return err
				}
				return t.Say(map[string]any{"context": given[0]}, "using %s", given[0])
			},
		},
		&cobra.Command{
			Use: "delete NAME", Aliases: []string{"rm"}, Args: tool.Args,
			Short:             "Forget a saved login",
			ValidArgsFunction: t.completeContext,
			RunE: func(_ *cobra.Command, given []string) error {
				if _, err := t.Source.Forget(given[0]); err != nil {
					return err
				}
				return t.Say(map[string]any{"deleted": given[0]}, "forgot %s", given[0])
			},
		},
	)
	return c
}

func (t command) contextList() error {
	saved, err := t.Source.Saved()
	if err != nil {
		return err
	}
	rows := []fleet.Row{}
	for _, name := range saved.Names() {
		r := fleet.Row{"context": name, "server": saved.Logins[name].Server, "user": saved.Logins[name].User, "current": name == saved.Current}
		if !t.JSON {
			r["current"] = map[bool]string{true: "current"}[name == saved.Current]
		}
		rows = append(rows, r)
	}
	return t.List(rows, "no saved logins", "context", "server", "user", "current")
}

func (t command) completeContext(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	saved, err := t.Source.Saved()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return saved.Names(), cobra.ShellCompDirectiveNoFileComp
}
