package reach

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// targets are the addresses for a host: those of the narrowest network that
// holds it, or all if its address is not known or nowhere.
func (r *Reach) targets(host fleet.Row) (to []netip.AddrPort) {
	ip, err := netip.ParseAddr(host.Str("ipAddress"))
	narrowest := -1
	for network, addresses := range r.cfg.Broadcast {
		if err == nil && network.Contains(ip) && network.Bits() > narrowest {
			narrowest, to = network.Bits(), addresses
		}
	}
	if narrowest < 0 {
		for _, addresses := range r.cfg.Broadcast {
			to = append(to, addresses...)
		}
	}
	return to
}

// magic is the packet that wakes a machine: six bytes of ones, then its hardware
// address 16 times.
func magic(mac net.HardwareAddr) []byte {
	return append(bytes.Repeat([]byte{0xff}, 6), bytes.Repeat(mac, 16)...)
}

// Wake implements [methods.Reach].
func (r *Reach) Wake(ctx context.Context, host fleet.Row) error {
	mac, err := net.ParseMAC(host.Str("hardwareAddress"))
	if err != nil || len(mac) != 6 {
		return fleet.Errorf(fleet.Invalid, "cannot wake %s: %q is no hardware address", host.Str("id"), host.Str("hardwareAddress"))
	}
	targets := r.targets(host)
	if len(targets) == 0 {
		return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot wake %s: no broadcast address is configured", host.Str("id")),
			"name them in [host_control.broadcast] of fernwerkd's configuration")
	}
	var errs []error
	for _, to := range targets {
		errs = append(errs, sendPacket(ctx, to, magic(mac)))
	}
	if err := errors.Join(errs...); err != nil {
		return fleet.Errorf(fleet.Unavailable, "cannot wake %s: %w", host.Str("id"), err)
	}
	return nil
}

func sendPacket(ctx context.Context, to netip.AddrPort, packet []byte) error {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", to.String()) // Go allows broadcasts on every UDP socket
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write(packet)
	return err
}
