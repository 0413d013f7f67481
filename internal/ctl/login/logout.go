package login

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
)

func (t command) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Forget a saved login",
		Long:  "Forget the saved login of the current context, or of the one named by --context.",
		Args:  tool.Args,
		RunE: func(*cobra.Command, []string) error {
			was, err := t.Source.Forget(t.Source.Flags.Context)
			if err != nil {
				return err
			}
			said := "logged out of " + was
			if was == "" {
				said = "nobody was logged in"
			}
			return t.Say(map[string]any{"loggedOut": was != "", "context": was}, "%s", said)
		},
	}
}
