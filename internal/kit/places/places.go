// Package places knows where this machine is: the addresses that it has in networks
// where others are, and when these change.
//
// Left out is what leads nowhere where a neighbour is: loopback, tunnels, and the
// networks that containers and virtual machines have inside of this one. There is no
// sure sign of these that all systems give, so they are known by the flags and the
// usual names of their interfaces, and on Linux by what the kernel says of a tunnel.
package places

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// virtual are the names of interfaces that lead nowhere where a neighbour is.
var virtual = regexp.MustCompile(`^(br-[0-9a-f]{12}|(lo|tun|tap|utun|wg|ppp|ipsec|nebula|tailscale|zt|docker|virbr|veth|podman|cni|flannel|cali|cilium|weave|kube|lxc|lxdbr|incusbr|vmnet|vboxnet|vnet|ifb|dummy)([0-9]*([-_.].*)?|[0-9a-f]{6,}))$`)

// Here are the addresses of this machine, with the length of their networks, in no
// order; those of the interfaces except are left out.
func Here(except ...string) (all []netip.Prefix) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 || slices.Contains(except, i.Name) || virtual.MatchString(i.Name) || tunnel(i.Name) {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && !p.Addr().IsLinkLocalUnicast() && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// tunnel tells whether Linux says of an interface that a program holds its other end.
func tunnel(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", filepath.Base(name), "tun_flags"))
	return err == nil
}

// Slow is how often it is time to look where the system tells nothing.
const Slow = 30 * time.Second

// Watch calls changed whenever addresses or interfaces may have changed, until ctx
// ends: at once where the system tells, else every [Slow]. changed is quick.
func Watch(ctx context.Context, changed func()) {
	if told(ctx, changed) == nil {
		return
	}
	tick := time.NewTicker(Slow)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			changed()
		}
	}
}
