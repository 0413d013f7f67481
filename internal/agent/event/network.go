package event

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/places"
)

// Network is the source of net connection events: one occurs when the machine can
// be reached by an address that it did not have before. A cable, a wireless network
// or a tunnel that comes up after somebody logged in are all the same to it.
//
// The system says when something changed, see [places.Watch]. What comes and goes quickly, as a
// cable that is plugged in does, is one event, and between two there is a rest, after
// which it counts what is there then.
type Network struct {
	Out Occurrences
	// Addresses are those that the machine has; nil asks the system.
	Addresses func() ([]netip.Addr, error)
	// Changes calls changed when something may have changed, until ctx ends; nil asks
	// the system.
	Changes func(ctx context.Context, changed func())
	// Rest is the least time from one event to the next; 0 is half a minute: a network
	// that flaps is no storm.
	Rest time.Duration
}

const (
	settle = 2 * time.Second  // how long an address must stay
	rest   = 30 * time.Second // see [Network.Rest]
)

// Serve works until ctx ends.
func (n *Network) Serve(ctx context.Context) error {
	addresses, changes := n.Addresses, n.Changes
	if addresses == nil {
		addresses = reachable
	}
	if changes == nil {
		changes = places.Watch
	}
	known, err := addresses()
	if err != nil {
		known = nil // the first that can be read are new
	}
	changed := make(chan struct{}, 1)
	watching := make(chan struct{})
	inner, cancel := context.WithCancel(ctx)
	go func() {
		defer close(watching)
		changes(inner, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	defer func() { cancel(); <-watching }()
	var last time.Time // of the last event
	for {
		select {
		case <-changed:
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
		wait := settle
		if !last.IsZero() {
			wait = max(wait, cmp.Or(n.Rest, rest)-time.Since(last))
		}
		if !pause(ctx, wait) {
			return ctx.Err()
		}
		if now, err = addresses(); err != nil {
			continue
		}
		fresh := anyNew(known, now)
		known = now
		if !fresh {
			continue
		}
		last = time.Now()
		if n.Out.Fire(ctx, Occurrence{Type: conf.NetConnection}) != nil {
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
