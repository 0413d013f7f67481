package ctl

import (
	"github.com/spf13/cobra"
)

func (t *tool) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Forget the saved login",
		Args:  args,
		RunE: func(*cobra.Command, []string) error {
			was, err := t.source.Forget()
			if err != nil {
				return err
			}
			said := "logged out"
			if !was {
				said = "nobody was logged in"
			}
			return t.Say(map[string]any{"loggedOut": was}, "%s", said)
		},
	}
}
