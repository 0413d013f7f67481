package grid

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/lan"
)

// tellLAN answers POST /v1/lan: a host says where it is beside its tunnels. Only the
// host itself does, and only of itself.
func (g *Grid) tellLAN(_ http.ResponseWriter, r *http.Request) (any, int, error) {
	hostID, err := g.Host(r)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot take LAN addresses: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, lan.MaxReport+1))
	if err != nil {
		return nil, 0, fleet.Errorf(fleet.Invalid, "cannot read LAN addresses of %s: %w", hostID, err)
	}
	told, err := lan.Parse(text)
	if err != nil {
		return nil, 0, err
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil, 0, fleet.Errorf(fleet.Invalid, "cannot take LAN addresses of %s: it comes from nowhere", hostID)
	}
	return struct{}{}, http.StatusOK, g.Presence.Tell(r.Context(), hostID, from.Addr(), told)
}
