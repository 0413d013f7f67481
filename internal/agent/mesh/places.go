package mesh

import (
	"net/netip"

	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/kit/places"
)

// here are the machine's addresses outside of the mesh, with their networks.
func here(device string) (out []netip.Prefix) {
	for _, p := range places.Here(device) {
		if mesh.ValidUnderlay(netip.AddrPortFrom(p.Addr(), 1)) && len(out) < mesh.MaxPlaces {
			out = append(out, p)
		}
	}
	return out
}

// Networks are the networks that the machine is in, beside the mesh's device.
func Networks(device string) (out []netip.Prefix) {
	for _, p := range here(device) {
		out = append(out, p.Masked())
	}
	return out
}
