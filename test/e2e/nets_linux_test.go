package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The words for networks: a space is a network namespace; cables lead to the switch of
// another one. The hub's switch is the wide network. A branch is a router of it with a
// LAN, nodes are attached to that; a node that is planted has its LAN by its name.

// space makes a namespace; what runs in it at the end of the test is killed.
func (n *tunnelNet) space(name string) {
	n.t.Helper()
	n.run("ip", "netns", "add", n.id+name)
	n.ends(name)
	n.in(name, "ip", "link", "set", "lo", "up")
}

// ends kills at the end of the test what then runs in a namespace. What has process
// ids of its own, as OAR has, ends by itself.
func (n *tunnelNet) ends(name string) {
	full := n.id + name
	running := func() (pids []int) {
		out, _ := exec.Command("ip", "netns", "pids", full).Output()
		ours, _ := os.Readlink("/proc/self/ns/pid")
		for _, text := range strings.Fields(string(out)) {
			pid, err := strconv.Atoi(text)
			if space, _ := os.Readlink("/proc/" + text + "/ns/pid"); err == nil && space == ours {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	n.t.Cleanup(func() {
		for range 50 { // what is killed may have begun another
			pids := running()
			if len(pids) == 0 {
				break
			}
			for _, pid := range pids {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			<-time.After(20 * time.Millisecond)
		}
		exec.Command("ip", "netns", "del", full).Run()
	})
}

// cable connects a device of a namespace, which gets an address, with the switch of
// another one, whose end is the [port].
func (n *tunnelNet) cable(space, device, address, to, bridge string) {
	n.t.Helper()
	n.run("ip", "link", "add", device, "netns", n.id+space, "type", "veth", "peer", "name", port(space), "netns", n.id+to)
	n.in(to, "ip", "link", "set", port(space), "master", bridge, "up")
	n.in(space, "ip", "addr", "add", address+"/24", "dev", device)
	n.in(space, "ip", "link", "set", device, "up")
}

// port is the end of a namespace's cable at the switch.
func port(space string) string { return "to" + space }

// branch makes a router of the wide network, which translates addresses, with a switch
// behind it; the LAN is 192.168.1.0/24, as at every site.
func (n *tunnelNet) branch(router, public string) {
	n.t.Helper()
	n.space(router)
	n.cable(router, "wan", public, "hub", "wan")
	n.in(router, "ip", "link", "add", "lan", "type", "bridge")
	n.in(router, "ip", "addr", "add", "192.168.1.1/24", "dev", "lan")
	n.in(router, "ip", "link", "set", "lan", "up")
	n.in(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	n.in(router, "nft", "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; add rule ip nat post oifname \"wan\" masquerade")
}

// attach connects a node's interface with the switch behind a router.
func (n *tunnelNet) attach(node, device, router, address string) {
	n.t.Helper()
	n.cable(node, device, address, router, "lan")
	n.in(node, "ip", "route", "replace", "default", "via", "192.168.1.1")
}

// detach takes the interface away.
func (n *tunnelNet) detach(node, device string) {
	n.t.Helper()
	n.in(node, "ip", "link", "del", device)
}

// plant makes a node, on its LAN, which is made for the first node there.
func (n *tunnelNet) plant(node string) {
	n.t.Helper()
	lan := node[:1]
	if n.on[lan]++; n.on[lan] == 1 {
		n.lans = append(n.lans, lan)
		n.branch(router(node), n.outside(lan))
	}
	n.space(node)
	n.attach(node, "eth0", router(node), n.lanAddress(node))
}

// router is the namespace of the router of a planted node's LAN.
func router(node string) string { return "r" + node[:1] }

// lanAddress is a node's own: .2 for a and a1, .3 for a2.
func (n *tunnelNet) lanAddress(node string) string {
	number, _ := strconv.Atoi(node[1:])
	return fmt.Sprint("192.168.1.", max(number, 1)+1)
}

// outside is the address that the world sees of a LAN.
func (n *tunnelNet) outside(lan string) string {
	return fmt.Sprint("203.0.113.", 10+slices.Index(n.lans, lan[:1]))
}

// plug pulls a planted node's cable out, or puts it in.
func (n *tunnelNet) plug(node, upOrDown string) {
	n.t.Helper()
	n.in(router(node), "ip", "link", "set", port(node), upOrDown)
}
