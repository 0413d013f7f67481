package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"

	"github.com/fernwerk/fernwerk/internal/fleet/tunnel"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

// Tunnel is a tunnel whose credentials the server gives to its hosts.
type Tunnel struct {
	// Name is a short word by which hosts ask for it.
	Name string `toml:"name"`
	// Remote is the host that clients call, Port its port (4242), Proto tcp or udp.
	Remote string `toml:"remote"`
	// Remotes are the hosts that they call when that does not answer: the other servers
	// of the database.
	Remotes []string `toml:"remotes"`
	Port    int      `toml:"port"`
	Proto   string   `toml:"proto"`
	// Extra are further lines of the clients' configuration, of a few that are safe.
	Extra []string `toml:"extra"`

	// Serve has this server run the tunnel, with the openvpn of the machine.
	Serve bool `toml:"serve"`
	// Listen is the address that it listens on; empty is all. The port is Port.
	Listen string `toml:"listen"`
	// Device is the tunnel's network device here; empty is tun-NAME.
	Device string `toml:"device"`
	// Network is that of the nodes; empty is the seed's 10.134.0.0/16. Its first
	// address is the server's.
	Network string `toml:"network"`
	// Keepalive is after how many seconds of silence a sign of life is sent, and after
	// how many the other side counts as gone; empty is 10, 120.
	Keepalive []int `toml:"keepalive"`
	// MaxClients is how many nodes may be in the tunnel; 0 is 1000.
	MaxClients int `toml:"max_clients"`
	// MTU is how many bytes a packet inside the tunnel may have; 0 is OpenVPN's 1500.
	MTU int `toml:"mtu"`
	// Apart keeps nodes from talking with each other through the tunnel.
	Apart bool `toml:"apart"`
}

// Settings are the tunnel as hosts get it.
func (t Tunnel) Settings() tunnel.Settings {
	return tunnel.Settings{Name: t.Name, Remote: t.Remote, Others: t.Remotes, Port: t.Port, Proto: t.Proto, Extra: t.Extra, MTU: t.MTU, Served: t.Serve}
}

// Server is the configuration of its openvpn.
func (t Tunnel) Server() (s openvpn.Server, err error) {
	s = openvpn.Server{Device: cmp.Or(t.Device, "tun-"+t.Name), UDP: t.Proto == "udp", Port: uint16(cmp.Or(t.Port, 4242)), Ping: 10, Dead: 120,
		MaxClients: cmp.Or(t.MaxClients, 1000), Between: !t.Apart, MTU: t.MTU, Verbosity: 2}
	if t.Device == "" && len(s.Device) > 15 {
		s.Device = s.Device[:15]
	}
	if s.Network, err = netip.ParsePrefix(cmp.Or(t.Network, "10.134.0.0/16")); err != nil {
		return s, fmt.Errorf("network: %q is not a network, such as 10.134.0.0/16", t.Network)
	}
	if t.Listen != "" {
		if s.Local, err = netip.ParseAddr(t.Listen); err != nil {
			return s, fmt.Errorf("listen: %q is not an IP address of this machine", t.Listen)
		}
	}
	if len(t.Keepalive) != 0 {
		if len(t.Keepalive) != 2 {
			return s, fmt.Errorf("keepalive: it is two numbers of seconds, such as [10, 120]")
		}
		s.Ping, s.Dead = t.Keepalive[0], t.Keepalive[1]
	}
	_, err = s.Render()
	return s, err
}

func checkTunnels(all []Tunnel) (wrong []error) {
	seen := map[string]bool{}
	for i, t := range all {
		if t.Serve {
			mine, err := t.Server()
			if err != nil {
				wrong = append(wrong, fmt.Errorf("tunnel %s: %w", t.Name, err))
			}
			for _, o := range all[:i] {
				if theirs, err := o.Server(); o.Serve && err == nil && mine.Network.Overlaps(theirs.Network) {
					wrong = append(wrong, fmt.Errorf("tunnel %s: its network %s overlaps that of %s", t.Name, mine.Network, o.Name))
				}
				if theirs, err := o.Server(); o.Serve && err == nil && mine.Device == theirs.Device {
					wrong = append(wrong, fmt.Errorf("tunnel %s: its device %s is that of %s", t.Name, mine.Device, o.Name))
				}
			}
		} else if !reflect.DeepEqual(t, Tunnel{Name: t.Name, Remote: t.Remote, Remotes: t.Remotes, Port: t.Port, Proto: t.Proto, Extra: t.Extra}) {
			wrong = append(wrong, fmt.Errorf("tunnel %s: what says how it is served wants serve = true", t.Name))
		}
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
