package mesh

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/kit/nebula"
	"github.com/fernwerk/fernwerk/internal/kit/resolver"
)

// owner is the mesh's name for the machine's resolver.
const owner = "mesh"

// kind is the machine's node type, "" before the server said it.
func (s *Service) kind() string {
	if len(s.state.Groups) == 0 {
		return ""
	}
	return s.state.Groups[0]
}

// beside says what the process needs beside nebula's part: who is in the mesh, for the
// time that another tunnel has its network, and what is reached through the hub.
func (s *Service) beside(c *nebula.Config) {
	for _, n := range s.network.Nodes {
		if n.HostID != s.HostID {
			c.Peers = append(c.Peers, n.Address)
		}
	}
	for _, h := range s.network.Hubs {
		if h.Bare {
			continue
		}
		c.Peers = append(c.Peers, h.Address)
		if h.Address.Is4() && !c.Gate.IsValid() {
			c.Gate = h.Address
		}
	}
	slices.SortFunc(c.Peers, netip.Addr.Compare)
	if !c.Gate.IsValid() {
		return
	}
	for _, r := range s.network.KindOf(s.kind()).Routes {
		if r.Addr().Is4() && !s.leadsToHub(r) {
			c.Through = append(c.Through, r)
		}
	}
	if s.network.Bridged && s.network.Network.Addr().Is4() && !slices.Contains(c.Through, s.network.Network) {
		c.Through = append(c.Through, s.network.Network)
	}
}

// leadsToHub tells whether a hub is in the network of a route, outside of the mesh: the
// way to it cannot be through it.
func (s *Service) leadsToHub(r netip.Prefix) bool {
	for _, h := range s.network.Hubs {
		for _, at := range h.At {
			if i := strings.LastIndexByte(at, ':'); i > 0 {
				if a, err := netip.ParseAddr(strings.Trim(at[:i], "[]")); err == nil && r.Contains(a.Unmap()) {
					return true
				}
			}
		}
	}
	return false
}

// name has the machine use the DNS servers of its node type while the hub is reached.
func (s *Service) name(ctx context.Context, since int64) error {
	k := s.network.KindOf(s.kind())
	p := resolver.Part{Owner: owner, Device: s.Settings.Device, Servers: k.DNS}
	if k.Search != "" {
		p.Search = []string{k.Search}
	}
	if since == 0 {
		p.Servers, p.Search = nil, nil
	}
	rule := ""
	if s.Rule != nil {
		rule = s.Rule(ctx)
	}
	text := fmt.Sprint(rule, p, since)
	if text == s.named {
		return nil
	}
	if _, err := s.Names.Apply(ctx, rule, p); err != nil {
		return err
	}
	s.named = text
	return nil
}
