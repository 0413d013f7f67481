package tokens

import (
	"fmt"
	"io"
	"maps"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// forms are the ways to print a token. Its text needs no quotes in any of them,
// which [enrol.ParseToken] holds it to.
var forms = map[string]func(io.Writer, string) error{
	"token":      checked(func(w io.Writer, text string) error { return printed(fmt.Fprintln(w, text)) }),
	"command":    checked(func(w io.Writer, text string) error { return printed(fmt.Fprintf(w, "fernwerk-agent join %s\n", text)) }),
	"cloud-init": checked(cloudInit),
	"msi":        checked(msi),
	"qr":         checked(console.Picture),
}

var names = maps.Keys(forms)

func printed(_ int, err error) error { return err }

// checked prints what is a token only: a server that is not ours must not write
// into somebody's user data.
func checked(form func(io.Writer, string) error) func(io.Writer, string) error {
	return func(w io.Writer, text string) error {
		if _, err := enrol.ParseToken(text); err != nil {
			return err
		}
		return form(w, text)
	}
}

// cloudInit keeps the token out of the process list: it is in a file that the
// join takes with it.
func cloudInit(w io.Writer, text string) error {
	return printed(fmt.Fprintf(w, `#cloud-config
write_files:
  - path: /run/fernwerk.token
    owner: root:root
    permissions: "0600"
    content: "%s"
runcmd:
  - [fernwerk-agent, join, --token-file, /run/fernwerk.token]
  - [rm, -f, /run/fernwerk.token]
  - [systemctl, enable, --now, fernwerk-agent]
`, text))
}

// msi is the line for Windows Installer; properties in capitals reach the part of
// the installation that runs as the system.
func msi(w io.Writer, text string) error {
	return printed(fmt.Fprintf(w, "msiexec /i fernwerk-agent.msi /qn FERNWERK_TOKEN=%s\n", text))
}
