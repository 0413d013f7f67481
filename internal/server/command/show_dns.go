package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/server/config"
)

// showDNS prints [dns]; secrets are in files of their own.
func showDNS(w io.Writer, d config.DNS) {
	list := func(key string, values []string) {
		if len(values) > 0 {
			fmt.Fprintf(w, "%s = [\"%s\"]\n", key, strings.Join(values, `", "`))
		}
	}
	if d.Zone != "" {
		fmt.Fprintf(w, "\n[dns]\nzone = %q\nlisten = %q\n", d.Zone, cmp.Or(d.Listen, config.DefaultDNS))
		list("nameservers", d.Nameservers)
		if d.Contact != "" {
			fmt.Fprintf(w, "contact = %q\n", d.Contact)
		}
		list("transfer", d.Transfer)
		if len(d.Names) > 0 {
			fmt.Fprintln(w, "\n[dns.names]")
		}
		for _, name := range slices.Sorted(maps.Keys(d.Names)) {
			list(fmt.Sprintf("%q", name), d.Names[name])
		}
		if len(d.Aliases) > 0 {
			fmt.Fprintln(w, "\n[dns.aliases]")
		}
		for _, name := range slices.Sorted(maps.Keys(d.Aliases)) {
			fmt.Fprintf(w, "%q = %q\n", name, d.Aliases[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Keys)) {
		fmt.Fprintf(w, "\n[dns.keys.%q]\nalgorithm = %q\nsecret_file = %q\n", name, cmp.Or(d.Keys[name].Algorithm, "hmac-sha256"), d.Keys[name].SecretFile)
	}
	for _, u := range d.Update {
		fmt.Fprintf(w, "\n[[dns.update]]\nserver = %q\nzone = %q\nkey = %q\n", u.Address(), u.Zone, u.Key)
		list("reverse", u.Reverse)
	}
}
