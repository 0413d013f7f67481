package config

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Enrolment says how machines join.
type Enrolment struct {
	// Name is the rule for names: small letters, digits and - with {n}, {type} and
	// {hostname}; empty is client{n}.
	Name enrol.NameRule `toml:"name"`
	// Domain is what follows the name; empty is the server's own.
	Domain string `toml:"domain"`
	// Approve has everybody wait for an administrator who comes with a token.
	Approve bool `toml:"approve"`
	// FirstBoot says what becomes of machines without a token: off, approve or open.
	FirstBoot string `toml:"first_boot"`
}

// Names is the rule that counts.
func (e Enrolment) Names() enrol.NameRule { return cmp.Or(e.Name, enrol.DefaultNames) }

// DomainOf is the domain that counts, of a server.
func (e Enrolment) DomainOf(serverID string) string {
	_, domain, _ := strings.Cut(serverID, ".")
	return cmp.Or(e.Domain, domain)
}

func (e Enrolment) check() (wrong []error) {
	if e.Name != "" {
		if err := e.Name.Check(); err != nil {
			wrong = append(wrong, fmt.Errorf("enrolment.name: %w", err))
		}
	}
	if e.Domain != "" && fleet.ValidHostID("a."+e.Domain) != nil {
		wrong = append(wrong, fmt.Errorf("enrolment.domain: %q is not a domain of two labels or more, such as example.org, in lower case", e.Domain))
	}
	switch e.FirstBoot {
	case "", "off", "approve", "open":
	default:
		wrong = append(wrong, fmt.Errorf("enrolment.first_boot: %q is not off, approve or open", e.FirstBoot))
	}
	return wrong
}
