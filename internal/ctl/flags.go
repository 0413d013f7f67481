package ctl

import (
	"github.com/spf13/cobra"
)

// flags are the flags of all commands.
type flags struct {
	server, user, passwordFile, ca string
	json, quiet                    bool
}

func (f *flags) add(root *cobra.Command) {
	p := root.PersistentFlags()
	p.StringVar(&f.server, "server", "", "the server, https://SERVER:4447 or unix:///SOCKET (FERNWERK_SERVER)")
	p.StringVar(&f.user, "user", "", "the account (FERNWERK_USER)")
	p.StringVar(&f.passwordFile, "password-file", "", "a file whose first line is the password; - is standard input (FERNWERK_PASSWORD holds the password itself)")
	p.StringVar(&f.ca, "ca", "", "the server's CA certificate, a PEM file (FERNWERK_CA)")
	p.BoolVar(&f.json, "json", false, "write the result as JSON")
	p.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, no remarks")
	// opsi-admin's "-d": speak to the service directly. There is no other way here.
	p.BoolP("direct", "d", false, "accepted for opsi-admin's sake")
	_ = p.MarkHidden("direct") // it exists: it was added one line above
}
