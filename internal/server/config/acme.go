package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// ACME says how the server's public name gets a certificate of a public
// authority. Machines have no need of it.
type ACME struct {
	// Names are the public DNS names; none: there is nothing to get.
	Names []string `toml:"names"`
	// Directory is the authority's URL; empty is Let's Encrypt's.
	Directory string `toml:"directory"`
	// DirectoryCA is a PEM file with the authorities of the directory's own
	// certificate; empty is the system's.
	DirectoryCA string `toml:"directory_ca"`
	// Email is where the authority writes to.
	Email string `toml:"email"`
	// AcceptTerms says that somebody has read and accepted the authority's terms.
	AcceptTerms bool `toml:"accept_terms"`
	// HTTPListen is HOST:PORT of a second listener for HTTP-01, which the world must
	// reach as port 80; empty leaves TLS-ALPN-01, on the server's own port as 443.
	HTTPListen string `toml:"http_listen"`
}

func (a ACME) check() (wrong []error) {
	for _, n := range a.Names {
		_, err := netip.ParseAddr(n)
		if err == nil || !isName(n) || !strings.Contains(n, ".") || n != strings.ToLower(n) {
			wrong = append(wrong, fmt.Errorf("acme.names: %q is not a public DNS name in lower case", n))
		}
	}
	if len(a.Names) == 0 {
		if a.Directory != "" || a.DirectoryCA != "" || a.Email != "" || a.HTTPListen != "" {
			wrong = append(wrong, errors.New("acme.names: there is none, the other keys of acme say nothing"))
		}
		return wrong
	}
	if !a.AcceptTerms {
		wrong = append(wrong, errors.New("acme.accept_terms: it must be true: read the authority's terms of service"))
	}
	if u, err := url.Parse(a.Directory); a.Directory != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		wrong = append(wrong, fmt.Errorf("acme.directory: %q is not an https URL", a.Directory))
	}
	if a.DirectoryCA != "" && !filepath.IsAbs(a.DirectoryCA) {
		wrong = append(wrong, fmt.Errorf("acme.directory_ca: %q is not an absolute path", a.DirectoryCA))
	}
	if a.Email != "" && (!strings.Contains(a.Email, "@") || strings.ContainsAny(a.Email, " \t\r\n,")) {
		wrong = append(wrong, fmt.Errorf("acme.email: %q is not a mail address", a.Email))
	}
	if _, err := splitPort(a.HTTPListen); a.HTTPListen != "" && err != nil {
		wrong = append(wrong, fmt.Errorf("acme.http_listen: %q is not HOST:PORT, such as :80", a.HTTPListen))
	}
	return wrong
}
