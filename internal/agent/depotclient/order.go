package depotclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// The values of clientconfig.depot.selection_mode.
const (
	MasterAndLatency = "master_and_latency"
	Latency          = "latency"
	NetworkAddress   = "network_address"
	Random           = "random"
)

// Facts are what a choice rests on.
type Facts struct {
	Master    string
	Addresses []netip.Addr             // of this machine
	Latency   map[string]time.Duration // by depot; one that did not answer is missing
	Draw      func(n int) int          // a random number below n
}

// Order puts depots into the order in which they are to be asked, and says why
// the first is. Nobody is left out: who was not chosen is a fallback.
//
//   - master_and_latency: the nearest of the master depot and those that belong
//     to it (their masterDepotId), by the time that a connection takes.
//   - latency: the nearest of all.
//   - network_address: the one in whose networkAddress this machine has an
//     address; of several the narrowest network; of none, the master depot.
//   - random: any.
func Order(mode string, depots []fleet.Host, f Facts) (order []fleet.Host, reason string) {
	order = slices.Clone(depots)
	rank := map[fleet.HostID]int{} // the lower, the sooner
	for i, h := range order {
		rank[h.ID] = i
	}
	// Behind the rule comes the nearest, then the master depot, then the name.
	later := func(a, b fleet.Host) int {
		return cmp.Or(cmp.Compare(f.distance(a.ID), f.distance(b.ID)), isMaster(f, b)-isMaster(f, a), cmp.Compare(a.ID, b.ID))
	}
	switch mode {
	case Random:
		for i := range order {
			j := i + f.Draw(len(order)-i)
			order[i], order[j] = order[j], order[i]
		}
		return order, fmt.Sprintf("drawn from %d", len(order))
	case Latency:
		slices.SortStableFunc(order, later)
		return order, nearest(order[0], f, "")
	case MasterAndLatency:
		slices.SortStableFunc(order, func(a, b fleet.Host) int {
			return cmp.Or(related(f, b)-related(f, a), later(a, b))
		})
		if f.distance(order[0].ID) == unreachable { // another that answers is better than none
			slices.SortStableFunc(order, later)
		}
		return order, nearest(order[0], f, " of the master depot and its own")
	}
	slices.SortStableFunc(order, func(a, b fleet.Host) int {
		return cmp.Or(f.prefix(b)-f.prefix(a), isMaster(f, b)-isMaster(f, a), later(a, b))
	})
	if f.prefix(order[0]) < 0 {
		return order, "no depot has this machine's network, so it is the client's depot"
	}
	return order, fmt.Sprintf("this machine is in its network %s", order[0].NetworkAddress)
}

func nearest(h fleet.Host, f Facts, among string) string {
	if d := f.distance(h.ID); d != unreachable {
		return fmt.Sprintf("it is the nearest%s: %v", among, d.Round(100*time.Microsecond))
	}
	return "none answers, so it is the first"
}

func isMaster(f Facts, h fleet.Host) int {
	if string(h.ID) == f.Master {
		return 1
	}
	return 0
}

func related(f Facts, h fleet.Host) int {
	if string(h.ID) == f.Master || string(h.MasterDepotID) == f.Master {
		return 1
	}
	return 0
}

const unreachable = time.Duration(1<<63 - 1)

func (f Facts) distance(id fleet.HostID) time.Duration {
	if d, ok := f.Latency[string(id)]; ok {
		return d
	}
	return unreachable
}

// prefix is how narrow the depot's network is that this machine is in, -1 if it
// is not.
func (f Facts) prefix(h fleet.Host) int {
	p, err := network(h.NetworkAddress)
	if err != nil || p.Bits() == 0 { // 0.0.0.0/0 is opsi's word for not known
		return -1
	}
	for _, a := range f.Addresses {
		if p.Contains(a) {
			return p.Bits()
		}
	}
	return -1
}

// network reads 192.168.7.0/24 or, as opsi writes it, 192.168.7.0/255.255.255.0.
func network(text string) (netip.Prefix, error) {
	at, mask, ok := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(at)
	if err != nil {
		return netip.Prefix{}, err
	}
	if !ok {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if m, err := netip.ParseAddr(mask); err == nil && m.Is4() && addr.Is4() {
		ones, bits := net.IPMask(m.AsSlice()).Size()
		if bits == 0 {
			return netip.Prefix{}, fmt.Errorf("%q is no network: its mask has holes", text)
		}
		return addr.Prefix(ones)
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// Bounds of measuring: the depots are measured at once, all within this time,
// each as often as this; the best counts, because only waiting can be wrong.
const (
	measuring = 5 * time.Second
	samples   = 3
)

// order learns what the mode needs and sorts the depots.
func (c *Client) order(ctx context.Context, w Wish, depots []*depot) (reason string) {
	f := Facts{Master: w.Master, Draw: rand.N[int]}
	if w.Mode == Latency || w.Mode == MasterAndLatency {
		f.Latency = c.measure(ctx, depots)
	}
	if addrs, err := c.addresses(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok && !ip.IsLoopback() {
					f.Addresses = append(f.Addresses, ip.Unmap())
				}
			}
		}
	}
	hosts := make([]fleet.Host, len(depots))
	byID := map[fleet.HostID]*depot{}
	for i, d := range depots {
		hosts[i], byID[d.ID] = d.Host, d
	}
	hosts, reason = Order(w.Mode, hosts, f)
	for i, h := range hosts {
		depots[i] = byID[h.ID]
	}
	return reason
}

// measure is how long a connection to each depot takes, with TLS where it is
// spoken: a depot that cannot be verified has no distance.
func (c *Client) measure(ctx context.Context, depots []*depot) map[string]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, measuring)
	defer cancel()
	var mu sync.Mutex
	found := map[string]time.Duration{}
	var group sync.WaitGroup
	for _, d := range depots {
		group.Go(func() {
			for range samples {
				took, err := c.sample(ctx, d)
				if err != nil {
					c.Log.Debug("depot not measured", "depot", d.ID, "error", err)
					continue
				}
				mu.Lock()
				if best, ok := found[string(d.ID)]; !ok || took < best {
					found[string(d.ID)] = took
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return found
}

func (c *Client) sample(ctx context.Context, d *depot) (time.Duration, error) {
	address, secure := d.near()
	var cfg *tls.Config
	if secure {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return 0, err
		}
		if cfg, err = c.trust(host); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if cfg != nil {
		if err := tls.Client(conn, cfg).HandshakeContext(ctx); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), nil
}
