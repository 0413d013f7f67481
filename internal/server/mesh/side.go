package mesh

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	plans "github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
)

// Beside the mesh its network may be OpenVPN's as well. A node has the same address in
// both, and whoever is in both goes by the mesh while that reaches the other side. Who
// is in the mesh alone reaches who is in OpenVPN alone through the hub, which is an
// end of both.

// kinds are what nodes of a network get with the mesh, by node type.
func (m *Mesh) kinds(tx *store.Tx, network netip.Prefix) ([]mesh.Kind, error) {
	all := []mesh.Kind{}
	types, err := m.types(tx)
	for _, t := range types {
		if plan, err := plans.PlanOf(t); err != nil || plan.Prefix() != network {
			continue
		}
		k := mesh.Kind{ID: t.ID, Routes: m.routes(t, types), DNS: []netip.Addr{}, Search: t.SearchDomain}
		for _, text := range t.DNSServers {
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" || a.IsMulticast() || a.IsUnspecified() {
				continue // a map with it is good for nobody, and who is blocked stands in it, too
			}
			if len(k.DNS) < mesh.MaxDNS && !slices.Contains(k.DNS, a) {
				k.DNS = append(k.DNS, a)
			}
		}
		all = append(all, k)
	}
	return all, err
}

// routes are those of a node type that the hub leads to: of IPv4, where the hub is an
// end of tunnels. A network of the mesh is none of them: whether the hub passes on to
// that, past the mesh's rules, [Mesh.bridged] says alone.
func (m *Mesh) routes(t fleet.NodeType, types []fleet.NodeType) []netip.Prefix {
	ours := func(p netip.Prefix) bool {
		return slices.ContainsFunc(types, func(o fleet.NodeType) bool {
			plan, err := plans.PlanOf(o)
			return err == nil && plan != nil && plan.Prefix() == p
		})
	}
	all := []netip.Prefix{}
	for _, text := range t.Routes {
		p, err := netip.ParsePrefix(text)
		if err == nil && !ours(p.Masked()) && p.Addr().Is4() && !m.Bare && len(all) < mesh.MaxRoutes && !slices.Contains(all, p.Masked()) {
			all = append(all, p.Masked())
		}
	}
	return all
}

// bridged tells whether the hub passes on between the mesh and another tunnel of the
// network, which it does not where nodes of that stay apart. The rules of the mesh do not see who is in the other one: where they are
// anything but "nodes of one type among themselves", and there is one type, it does not.
func (m *Mesh) bridged(tx *store.Tx, network netip.Prefix) (bool, error) {
	if m.Bare || len(m.Allow) > 0 || !network.Addr().Is4() || slices.ContainsFunc(m.Apart, network.Overlaps) {
		return false, nil
	}
	all, err := store.All[fleet.NodeType](tx, fleet.NodeTypes, nil)
	same := 0
	for _, t := range all {
		if plan, err := plans.PlanOf(t); err == nil && plan != nil && plan.Prefix() == network {
			same++
		}
	}
	return same == 1, err
}

// passOn has the hub pass on.
func (h *hub) passOn(tx *store.Tx, config *nebula.Config, types []fleet.NodeType) error {
	for _, t := range types {
		plan, err := plans.PlanOf(t)
		if err != nil {
			return err
		}
		through := h.routes(t, types)
		if yes, err := h.bridged(tx, plan.Prefix()); err != nil {
			return err
		} else if yes {
			through = append(through, plan.Prefix())
		}
		for _, p := range through {
			if !slices.Contains(config.Through, p) {
				config.Through = append(config.Through, p)
			}
		}
	}
	slices.SortFunc(config.Through, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
	if len(config.Through) > 0 {
		config.Inbound = append(config.Inbound, nebula.Rule{Proto: "udp", Ports: strconv.Itoa(nebula.PassPort), Group: "any"})
	}
	return nil
}

// tell says once what the process finds wrong.
func (h *hub) tell(now nebula.Status) {
	if now.Problem != h.said && now.Problem != "" {
		h.Log.Warn("The mesh's hub passes nothing on", "problem", now.Problem, "hint", "sysctl -w net.ipv4.ip_forward=1, and a line of it in /etc/sysctl.d")
	}
	h.said = now.Problem
}
