package event

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// Network is the source of net connection events: one occurs when the machine can
// be reached by an address that it did not have before. A cable, a wireless network
// or a tunnel that comes up after somebody logged in are all the same to it.
//
// The system says when something changed (netlink on Linux); elsewhere, and where
// it cannot, it is looked at every [lookEvery]. What comes and goes quickly, as a
// cable that is plugged in does, is one event.
type Network struct {
	Out Occurrences
	// Addresses are those that the machine has; nil asks the system.
	Addresses func() ([]netip.Addr, error)
	// Changes tells of changes until ctx ends; nil asks the system.
	Changes func(ctx context.Context, changed chan<- struct{}) error
}

const (
	lookEvery = 15 * time.Second
	settle    = 2 * time.Second // in which an address must stay
)

// Serve works until ctx ends.
func (n *Network) Serve(ctx context.Context) error {
	addresses, changes := n.Addresses, n.Changes
	if addresses == nil {
		addresses = reachable
	}
	if changes == nil {
		changes = networkChanges
	}
	changed := make(chan struct{}, 1)
	watching := make(chan error, 1)
	inner, cancel := context.WithCancel(ctx)
	go func() { watching <- changes(inner, changed) }()
	defer func() { cancel(); <-watching }()
	known, err := addresses()
	if err != nil {
		known = nil // the first that can be read are new
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now, err := addresses()
		if err != nil || !anyNew(known, now) {
			if err == nil {
				known = now
			}
			continue
		}
		if !pause(ctx, settle) {
			return ctx.Err()
		}
		if now, err = addresses(); err != nil {
			continue
		}
		fresh := anyNew(known, now)
		known = now
		if fresh && n.Out.Fire(ctx, Occurrence{Type: conf.NetConnection}) != nil {
			return ctx.Err()
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func anyNew(known, now []netip.Addr) bool {
	return slices.ContainsFunc(now, func(a netip.Addr) bool { return !slices.Contains(known, a) })
}

// reachable are the addresses of interfaces that are up, but for those by which
// nobody outside is reached. Addresses of IPv6 that are made up anew every day are
// as good as others: one event a day more.
func reachable() ([]netip.Addr, error) {
	cards, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, c := range cards {
		if c.Flags&net.FlagUp == 0 || c.Flags&net.FlagRunning == 0 || c.Flags&net.FlagLoopback != 0 || virtual(c.Name) {
			continue
		}
		addresses, err := c.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				list = append(list, p.Addr())
			}
		}
	}
	return list, nil
}

// virtual tells of interfaces that lead to containers on the machine itself.
func virtual(name string) bool {
	return slices.ContainsFunc([]string{"veth", "docker", "br-", "virbr", "cni", "lxc", "lxd"}, func(p string) bool { return strings.HasPrefix(name, p) })
}
