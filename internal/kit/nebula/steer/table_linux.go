package steer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// protocol marks the routes that are ours; behind is the metric of those that any
// other goes before.
const (
	protocol = 119
	behind   = 41340
)

// Can tells whether this system is steered.
const Can = true

// Table is the machine's routes that lead into a device.
type Table struct{ Device string }

// Set has the machine have these routes of ours and no others.
func (t Table) Set(want []Route) error {
	link, err := netlink.LinkByName(t.Device)
	if err != nil {
		return fmt.Errorf("cannot set routes of %s: %w", t.Device, err)
	}
	ours := &netlink.Route{LinkIndex: link.Attrs().Index, Protocol: protocol}
	is, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, ours, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("cannot read routes of %s: %w", t.Device, err)
	}
	has := map[Route]netlink.Route{}
	for _, r := range is {
		to, from := prefixOf(r.Dst), netip.Addr{}
		if a, ok := netip.AddrFromSlice(r.Src); ok {
			from = a.Unmap()
		}
		has[Route{To: to, From: from, Other: r.Priority == behind}] = r
	}
	var errs []error
	for _, w := range want {
		if _, there := has[w]; there {
			delete(has, w)
			continue
		}
		r := netlink.Route{LinkIndex: ours.LinkIndex, Protocol: protocol, Scope: unix.RT_SCOPE_LINK, Src: net.IP(w.From.AsSlice()), // of an invalid one nil
			Dst: &net.IPNet{IP: w.To.Masked().Addr().AsSlice(), Mask: net.CIDRMask(w.To.Bits(), w.To.Addr().BitLen())}}
		if w.To.Addr().Is6() {
			r.Scope = unix.RT_SCOPE_UNIVERSE // IPv6 knows no other
		}
		if w.Other {
			r.Priority = behind
		}
		if err := netlink.RouteReplace(&r); err != nil {
			errs = append(errs, fmt.Errorf("cannot set the route to %v by %s: %w", w.To, t.Device, err))
		}
	}
	for w, r := range has {
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("cannot remove the route to %v by %s: %w", w.To, t.Device, err))
		}
	}
	return errors.Join(errs...)
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

// Loosen lets a device take packets whose answer would go by another one, as they do
// while two ends of a path do not yet agree about it: the kernel's strict check of
// sources, where it is on, becomes the loose one. That is for tunnels, which see to it
// that a packet is from whom it says: in a LAN anybody may hand out an address of the
// mesh's network, and send in another's name then.
func Loosen(device string) error {
	strict := func(name string) bool {
		text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + name + "/rp_filter")
		return err == nil && strings.TrimSpace(string(text)) == "1"
	}
	if strings.ContainsAny(device, "/.") || !bare(device) || !strict(device) && !strict("all") {
		return nil
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+device+"/rp_filter", []byte("2\n"), 0); err != nil {
		return fmt.Errorf("cannot let %s take packets of two paths: %w", device, err)
	}
	return nil
}

// bare tells whether a device has no frames around its packets (ARPHRD_NONE), as tunnels
// have none.
func bare(device string) bool {
	link, err := netlink.LinkByName(device)
	return err == nil && link.Attrs().EncapType == "none"
}

// Bind has a socket send by a device, whatever the routes say.
func Bind(device string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) }); cerr != nil {
			return cerr
		}
		return err
	}
}

// Forwards tells whether the machine passes on what comes by a device and is for others.
func Forwards(device string) bool {
	text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + device + "/forwarding")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}
