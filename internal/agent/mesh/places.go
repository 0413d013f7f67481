package mesh

import (
	"net"
	"net/netip"
	"regexp"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// virtual are interfaces that lead nowhere where a neighbour is: tunnels, and
// networks inside of the machine.
var virtual = regexp.MustCompile(`^(lo|tun|tap|wg|docker|br-|virbr|veth|podman|utun)[0-9a-z]*`)

// places are the machine's addresses outside of the mesh, with their networks.
func places(device string) []netip.Prefix {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []netip.Prefix
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 || i.Name == device || virtual.MatchString(i.Name) {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || !mesh.ValidUnderlay(netip.AddrPortFrom(p.Addr(), 1)) || slices.Contains(out, p) || len(out) == mesh.MaxPlaces {
				continue
			}
			out = append(out, p)
		}
	}
	return out
}

// Networks are the networks that the machine is in, beside the mesh's device.
func Networks(device string) (out []netip.Prefix) {
	for _, p := range places(device) {
		out = append(out, p.Masked())
	}
	return out
}
