package mesh

import (
	"net/netip"
	"regexp"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Kind is what the nodes of a node type get with the mesh, beside their address.
type Kind struct {
	ID string `json:"id"` // the type, a node's first group
	// Routes are networks that are reached through the hub.
	Routes []netip.Prefix `json:"routes"`
	DNS    []netip.Addr   `json:"dns"`
	Search string         `json:"search"` // a domain, "" for none
}

// Limits on what a kind says.
const (
	MaxKinds  = 1000
	MaxRoutes = 100
	MaxDNS    = 8
)

var domain = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)

func (k Kind) check() error {
	bad := func(what string) error {
		return fleet.Errorf(fleet.Invalid, "cannot use the map of the mesh: node type %.40q has %s", k.ID, what)
	}
	if !group.MatchString(k.ID) || len(k.Routes) > MaxRoutes || len(k.DNS) > MaxDNS {
		return bad("no name, or too many routes or DNS servers")
	}
	for _, r := range k.Routes {
		if !r.IsValid() || r != r.Masked() || r.Addr().Is4In6() {
			return bad("a route that is none")
		}
	}
	for _, a := range k.DNS {
		if !a.IsValid() || a.Zone() != "" || a.IsMulticast() || a.IsUnspecified() {
			return bad("a DNS server that is none")
		}
	}
	if k.Search != "" && (len(k.Search) > 253 || !domain.MatchString(k.Search)) {
		return bad("a search domain that is none")
	}
	return nil
}

// KindOf is what the map says of a node type; nothing if it is not there.
func (m Map) KindOf(id string) Kind {
	for _, k := range m.Kinds {
		if k.ID == id {
			return k
		}
	}
	return Kind{}
}
