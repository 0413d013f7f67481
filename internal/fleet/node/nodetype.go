package node

import (
	"net/netip"
	"regexp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

var (
	propertyKey   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	propertyValue = regexp.MustCompile(`^[A-Za-z0-9._:/@+-]{0,200}$`)
)

// PlanOf is the plan of a node type; nil if it has no addresses.
func PlanOf(t fleet.NodeType) (*Plan, error) {
	if t.AddressRange == "" {
		if t.NamePattern != "" {
			return nil, fleet.Errorf(fleet.Invalid, "cannot use node type %s: a name pattern wants an address range", t.ID)
		}
		return nil, nil
	}
	pattern := t.NamePattern
	if pattern == "" {
		pattern = DefaultPattern(t.ID)
	}
	p, err := NewPlan(t.AddressRange, pattern, t.Domain)
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeOf(err), "cannot use node type %s: %w", t.ID, err)
	}
	return p, nil
}

// Properties are a node type's properties by key.
func Properties(t fleet.NodeType) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range t.Properties {
		key, value, err := Property(text)
		if err != nil {
			return nil, err
		}
		if _, twice := all[key]; twice {
			return nil, fleet.Errorf(fleet.Invalid, "the property %s is there twice", key)
		}
		all[key] = value
	}
	return all, nil
}

// Check checks a node type, by itself and beside the others. It refuses what
// would end up wrong in a zone file, an OpenVPN configuration or a command line.
func Check(t fleet.NodeType, others []fleet.NodeType) error {
	if err := enrol.ValidNodeType(t.ID); err != nil {
		return err
	}
	bad := func(err error) error { return fleet.Errorf(fleet.Invalid, "cannot use node type %s: %w", t.ID, err) }
	if t.SearchDomain != "" {
		if err := ValidDomain(t.SearchDomain); err != nil {
			return bad(err)
		}
	}
	for _, r := range t.Routes {
		if p, err := netip.ParsePrefix(r); err != nil || p != p.Masked() || p.String() != r {
			return bad(fleet.Errorf(fleet.Invalid, "%q is not a route: it is written like 192.0.2.0/26", r))
		}
	}
	for _, s := range t.DNSServers {
		if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" || a.String() != s || a.IsMulticast() || a.IsUnspecified() {
			return bad(fleet.Errorf(fleet.Invalid, "%q is not the address of a DNS server", s))
		}
	}
	properties, err := Properties(t)
	if err == nil && t.Scheduler == "slurm" {
		err = SlurmProperties(properties)
	}
	if err != nil {
		return bad(err)
	}
	mine, err := PlanOf(t)
	if err != nil {
		return err
	}
	if mine == nil {
		return nil
	}
	for _, o := range others {
		if o.ID == t.ID {
			continue
		}
		if theirs, err := PlanOf(o); err == nil && theirs != nil {
			if why := mine.Clashes(theirs); why != "" {
				return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot use node type %s beside %s: %s", t.ID, o.ID, why),
					"give it a range and names of its own, or exactly those of %s", o.ID)
			}
		}
	}
	return nil
}
