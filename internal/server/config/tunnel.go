package config

import (
	"fmt"

	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
)

// Tunnel is a tunnel whose credentials the server gives to its hosts.
type Tunnel struct {
	// Name is a short word by which hosts ask for it.
	Name string `toml:"name"`
	// Remote is the host that clients call, Port its port (4242), Proto tcp or udp.
	Remote string `toml:"remote"`
	Port   int    `toml:"port"`
	Proto  string `toml:"proto"`
	// Extra are further lines of the clients' configuration, of a few that are safe.
	Extra []string `toml:"extra"`
}

// Settings are the tunnel as hosts get it.
func (t Tunnel) Settings() tunnel.Settings { return tunnel.Settings(t) }

func checkTunnels(all []Tunnel) (wrong []error) {
	seen := map[string]bool{}
	for _, t := range all {
		if err := t.Settings().Check(); err != nil {
			wrong = append(wrong, fmt.Errorf("tunnel: %w", err))
		}
		if seen[t.Name] {
			wrong = append(wrong, fmt.Errorf("tunnel: there are two of the name %q", t.Name))
		}
		seen[t.Name] = true
	}
	return wrong
}
