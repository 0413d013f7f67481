package merge

import (
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// nouns are the seed's words for the objects that a client can change.
var nouns = map[string]string{
	fleet.ConfigStates.Name:           "host parameter",
	fleet.ProductPropertyStates.Name:  "product property",
	fleet.ProductsOnClients.Name:      "product's state on the client",
	fleet.LicensesOnClients.Name:      "licence of the client",
	fleet.AuditHardwares.Name:         "inventory entry",
	fleet.AuditHardwareOnHosts.Name:   "inventory entry",
	fleet.AuditSoftwares.Name:         "inventory entry",
	fleet.AuditSoftwareOnClients.Name: "inventory entry",
}

// terms are the seed's words for columns.
var terms = map[string]string{
	"actionRequest":       "action request",
	"targetConfiguration": "target configuration",
	"installationStatus":  "installation status",
	"actionResult":        "action result",
	"lastAction":          "last action",
	"actionProgress":      "action progress",
	"productVersion":      "product version",
	"packageVersion":      "package version",
}

func (m *merger) noun() string {
	if n, ok := nouns[m.class.Name]; ok {
		return n
	}
	return m.class.Name
}

func isInventory(c *fleet.Class) bool { return strings.HasPrefix(c.Name, "audit") }

func term(c *fleet.Class, col *fleet.Column) string {
	if col.Name == "values" {
		if n, ok := nouns[c.Name]; ok {
			return n
		}
	}
	if t, ok := terms[col.Name]; ok {
		return t
	}
	return col.Name
}

// summary tells a whole update in one sentence made of the columns' reasons.
func (m *merger) summary(cols []ColumnDecision) string {
	if len(cols) == 0 {
		return fmt.Sprintf("the server has all that the client has to say about the %s", m.noun())
	}
	var parts []string
	seen := map[string]bool{}
	for _, cd := range cols {
		if !seen[cd.Reason] {
			seen[cd.Reason] = true
			parts = append(parts, cd.Reason)
		}
	}
	return strings.Join(parts, "; ")
}

// show prints a value for a reason; secrets stay secret.
func show(col *fleet.Column, v any) string {
	switch {
	case col.Secret:
		return "a secret value"
	case empty(v):
		return "no value"
	}
	return fmt.Sprintf("%q", fmt.Sprint(v))
}

func keep(format string, args ...any) Decision {
	return Decision{Op: Keep, Reason: fmt.Sprintf(format, args...)}
}
