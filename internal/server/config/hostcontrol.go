package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// HostControl says how the server reaches hosts that are not connected to its
// message bus, and how it wakes them.
type HostControl struct {
	// Trust is whom the server shows a host's key at the host's control port:
	// authority (certificates of its own authority), any, or off (nobody).
	Trust string `toml:"trust"`
	// Port is the hosts' control port.
	Port int `toml:"port"`
	// Broadcast lists for networks, such as 192.168.1.0/24, the addresses with
	// ports to which magic packets for their hosts go. Leave it out for
	// 255.255.255.255 at the ports 7, 9 and 12287.
	Broadcast map[string][]string `toml:"broadcast"`
}

var everywhere = map[string][]string{"0.0.0.0/0": {"255.255.255.255:7", "255.255.255.255:9", "255.255.255.255:12287"}}

func (h HostControl) check() (wrong []error) {
	if !slices.Contains([]string{"", "authority", "any", "off"}, h.Trust) {
		wrong = append(wrong, fmt.Errorf("host_control.trust: %q is not authority, any or off", h.Trust))
	}
	if h.Port < 0 || h.Port > 65535 {
		wrong = append(wrong, fmt.Errorf("host_control.port: %d is not between 1 and 65535", h.Port))
	}
	_, bad := h.Broadcasts()
	return append(wrong, bad...)
}

// Broadcasts are the broadcast addresses by network, and what is wrong with them.
func (h HostControl) Broadcasts() (all map[netip.Prefix][]netip.AddrPort, wrong []error) {
	list := h.Broadcast
	if list == nil {
		list = everywhere
	}
	all = map[netip.Prefix][]netip.AddrPort{}
	for name, addresses := range list {
		network, err := netip.ParsePrefix(name)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("host_control.broadcast: %q is not a network such as 192.168.1.0/24", name))
		}
		for _, a := range addresses {
			to, err := netip.ParseAddrPort(a)
			if err != nil || to.Port() == 0 {
				wrong = append(wrong, fmt.Errorf("host_control.broadcast: %q is not an address with a port such as 192.168.1.255:9", a))
			}
			all[network] = append(all[network], to)
		}
	}
	return all, wrong
}
