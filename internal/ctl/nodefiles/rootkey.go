package nodefiles

import (
	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// rootKeys is where OpenSSH looks for who may log in as root.
const rootKeys = "/root/.ssh/authorized_keys"

func (t command) rootSetCommand() *cobra.Command {
	var w wish
	var options bool
	c := &cobra.Command{
		Use: "set NODETYPE", Args: tool.Args,
		Short: "Let who has a key log in as root on the nodes of a type",
		Long: `Let who has a key log in as root on the nodes of a type, a moment after each came up.
The file holds public keys as OpenSSH has them, one a line. They are a block of
root's authorised keys: others that are there stay. It is the same as
"node-file set NODETYPE ` + rootKeys + ` --block --mode 0600", with a check of
every line.`,
		Example: "  fernwerk root-key set vnode --from ~/.ssh/id_ed25519.pub --trust ~/trust",
		RunE: func(c *cobra.Command, given []string) error {
			data, err := w.content(c)
			if err != nil {
				return err
			}
			if len(data) > 0 && data[len(data)-1] != '\n' {
				data = append(data, '\n')
			}
			if _, err := nodefile.ParseAuthorizedKeys(data, options); err != nil {
				return err
			}
			w.mode, w.owner, w.block = "0600", "root", true
			return t.set(c.Context(), given[0], rootKeys, data, &w)
		},
	}
	w.add(c)
	c.Flags().BoolVar(&options, "allow-options", false, "take options before a key, which may run commands")
	return c
}

func (t command) rootRemoveCommand() *cobra.Command {
	var w tool.Writing
	var s signing.Flags
	c := &cobra.Command{
		Use: "remove NODETYPE", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Take back the keys of root on the nodes of a type",
		RunE: func(c *cobra.Command, given []string) error {
			return t.remove(c.Context(), given[0], rootKeys, w, &s)
		},
	}
	w.Add(c)
	s.AddDir(c)
	s.Add(c)
	return c
}
