package tunnel

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/kit/resolver"
)

// The seed gave OpenVPN the script update-resolv-conf. Here the agent does its work:
// it hears from openvpn what the tunnel brings, checks it, and tells whoever resolves
// names on this machine. Nothing of it is ever part of a command's text.

// owned is the beginning of the names under which tunnels tell the machine's resolver.
const owned = "tunnel "

// brought reads what openvpn was given, as it says when a tunnel is up. What is no
// address or no name is left out.
func brought(owner string, vars []string) resolver.Part {
	n := resolver.Part{Owner: owner}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		if name == "dev" && resolver.ValidDevice(value) {
			n.Device = value
		}
		if !strings.HasPrefix(name, "foreign_option_") {
			continue
		}
		word := strings.Fields(value)
		if len(word) != 3 || word[0] != "dhcp-option" {
			continue
		}
		switch word[1] {
		case "DNS", "DNS6":
			if a, err := netip.ParseAddr(word[2]); err == nil && a.Zone() == "" && len(n.Servers) < resolver.Most && !slices.Contains(n.Servers, a) {
				n.Servers = append(n.Servers, a)
			}
		case "DOMAIN", "DOMAIN-SEARCH":
			if d := strings.ToLower(word[2]); resolver.ValidDomain(d) && len(n.Search) < resolver.Most && !slices.Contains(n.Search, d) {
				n.Search = append(n.Search, d)
			}
		}
	}
	if n.Device == "" {
		n.Servers, n.Search = nil, nil
	}
	return n
}

// resolver is the machine's.
func (s *Service) resolver() resolver.Resolver { return resolver.Resolver{Dir: s.DataDir} }

// unowned takes back what was told for tunnels that are wanted no more: somebody
// ended them while no agent ran.
func (s *Service) unowned(ctx context.Context, wanted map[string]Place) {
	parts, err := s.resolver().Parts()
	for _, p := range parts {
		name, ours := strings.CutPrefix(p.Owner, owned)
		if _, still := wanted[name]; ours && !still && err == nil {
			err = s.resolver().Remove(ctx, p.Owner)
		}
	}
	if err != nil {
		s.Log.Warn("A tunnel's DNS servers stay", "error", err)
	}
}
