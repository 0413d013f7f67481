package tool

import (
	"github.com/spf13/cobra"
)

// AddFlags adds the flags of all commands.
func (t *Tool) AddFlags(root *cobra.Command) {
	p, f := root.PersistentFlags(), &t.Source.Flags
	p.StringVar(&f.Context, "context", "", "the saved login to use, by its name (FERNWERK_CONTEXT)")
	p.StringVar(&f.Server, "server", "", "the server, https://SERVER:4447 or unix:///SOCKET (FERNWERK_SERVER)")
	p.StringVar(&f.User, "user", "", "the account (FERNWERK_USER)")
	p.StringVar(&f.PasswordFile, "password-file", "", "a file whose first line is the password; - is standard input (FERNWERK_PASSWORD holds the password itself)")
	p.StringVar(&f.CA, "ca", "", "the server's CA certificate, a PEM file (FERNWERK_CA)")
	p.BoolVar(&t.JSON, "json", false, "write the result as JSON")
	p.BoolVarP(&t.Quiet, "quiet", "q", false, "no progress, no remarks")
	// opsi-admin's "-d": speak to the service directly. There is no other way here.
	p.BoolP("direct", "d", false, "accepted for opsi-admin's sake")
	_ = p.MarkHidden("direct") // it exists: it was added one line above
}
