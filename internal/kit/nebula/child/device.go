package child

import (
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/slackhq/nebula/config"
	"github.com/slackhq/nebula/overlay"

	"github.com/fernwerk/fernwerk/internal/kit/nebula/steer"
)

// device is the mesh's network interface. Where the machine is steered it has the
// address alone, see package steer; and it wraps what goes through the hub.
type device struct {
	overlay.Device
	networks []netip.Prefix // own addresses, with their networks' lengths
	wrap     atomic.Pointer[wrapping]
	probes   probes
}

func newDevice() *device {
	return &device{probes: probes{sockets: map[netip.Addr]*net.UDPConn{}, answers: make(chan [2]netip.Addr, 64)}}
}

// open makes the interface; it is what nebula calls.
func (d *device) open(c *config.C, l *slog.Logger, networks []netip.Prefix, routines int) (overlay.Device, error) {
	d.networks = networks
	narrow := networks
	if steer.Can {
		narrow = nil
		for _, n := range networks {
			narrow = append(narrow, netip.PrefixFrom(n.Addr(), n.Addr().BitLen()))
		}
	}
	var err error
	d.Device, err = overlay.NewDeviceFromConfig(c, l, narrow, routines)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Networks are those of the certificate.
func (d *device) Networks() []netip.Prefix { return d.networks }

// Activate brings the interface up, with the routes that it has in any case.
func (d *device) Activate() error {
	if err := d.Device.Activate(); err != nil {
		return err
	}
	if !steer.Can || len(d.networks) == 0 {
		return nil
	}
	return steer.Table{Device: d.Name()}.Set(steer.Routes(d.networks, nil, nil))
}

// Read reads a packet of this machine.
func (d *device) Read(buf []byte) (int, error) {
	n, err := d.Device.Read(buf)
	if err != nil {
		return n, err
	}
	if w := d.wrap.Load(); w != nil {
		n = w.out(buf, n)
	}
	if t := d.probes.sent.Load(); t != nil {
		t.note(destination(buf[:n]))
	}
	return n, nil
}

// Write writes a packet for this machine.
func (d *device) Write(packet []byte) (int, error) {
	if t := d.probes.heard.Load(); t != nil {
		t.note(source(packet))
	}
	if d.probes.take(packet) {
		return len(packet), nil
	}
	inner := packet
	if w := d.wrap.Load(); w != nil {
		ok := false
		if inner, ok = w.in(packet); !ok {
			return len(packet), nil
		}
	}
	if _, err := d.Device.Write(inner); err != nil {
		return 0, err
	}
	return len(packet), nil
}
