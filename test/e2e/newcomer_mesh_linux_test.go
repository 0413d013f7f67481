package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// way is what was measured on one path between two nodes.
type way struct {
	rtt   float64 // milliseconds
	mbits float64 // a second, of one TCP connection
}

// neighbours has two nodes on one LAN, which are in the tunnel, move to the mesh, and
// measures all ways between them in one go. far is on another LAN. At the end the hub is
// dead.
func (n *newcomers) neighbours(one, other, far string) {
	t := n.t
	t.Helper()
	require.Tool(t, "iperf3")
	n.background(n.enter(t.Context(), other, "iperf3", "-s"), "iperf3.log")
	lan := n.measure(one, n.lanAddress(other))
	n.step("%s and %s are neighbours: measured on their LAN, with nothing between them", one, other)
	vpn := n.measure(one, n.at[other])
	n.step("measured by OpenVPN, which goes through the hub")

	n.mustTool("node-type", "set", "vnode", "--tunnel", "both")
	for _, node := range []string{one, other} {
		n.again(node, "[mesh]\nenabled = true\n")
	}
	for node, peer := range map[string]string{one: other, other: one} {
		n.until(30*time.Second, node+" has its neighbour on its map", func() bool { return n.path(node, peer).Path != "" })
		n.agentDo(node, "tunnel", "down", "vpns")
	}
	n.reaches(one, other, "direct")
	n.step("both are in the mesh and have left the tunnel; at the same addresses they are reached %s", n.path(one, other).words())

	before := n.hubBytes(one)
	direct := n.measure(one, n.at[other])
	passed := n.hubBytes(one) - before
	n.step("measured by the mesh, direct: meanwhile %d bytes of their LAN passed the hub", passed)
	if carried := direct.mbits * 1e6 / 8 * measured.Seconds(); float64(passed) > max(carried/100, 64<<10) {
		t.Errorf("%d bytes passed the hub while %.0f went from one to the other", passed, carried)
	}
	for node, peer := range map[string]string{one: other, other: one} {
		n.in(node, "nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in ip saddr "+n.lanAddress(peer)+" drop")
	}
	n.reaches(one, other, "relayed")
	relayed := n.measure(one, n.at[other])
	n.step("measured by the mesh with the LAN cut between them: it is %s", n.path(one, other).words())
	for _, node := range []string{one, other} {
		n.in(node, "nft", "delete table inet cut")
	}
	n.reaches(one, other, "direct")
	n.step("no longer cut, they are back on their LAN")

	n.killHub()
	if n.pings(far, n.at[one]) || n.pings(one, hubAddress) {
		t.Error("the hub is not dead")
	}
	for range 3 {
		if !n.pings(one, n.at[other]) || !n.pings(other, n.at[one]) {
			t.Error("with the hub dead neighbours do not reach each other")
		}
	}
	dead := n.measure(one, n.at[other])
	n.step("the hub is dead (processes killed, line down): the two still talk, %s", n.path(one, other).words())
	n.compare(lan, direct, dead, relayed, vpn)
	// On a quiet machine direct has twice to four times of what goes through the hub. What
	// else a machine does in these seconds may turn that round a little.
	if max(vpn.mbits, relayed.mbits) > 2*direct.mbits {
		t.Errorf("through the hub is faster than direct: %+v, %+v, %+v", direct, relayed, vpn)
	}
}

// compare shows what was measured, the direct way in the mesh as the measure of all.
func (n *newcomers) compare(lan, direct, dead, relayed, vpn way) {
	n.t.Helper()
	row := func(name, key string, w way) []string {
		n.figure(key+"_rtt", w.rtt, "ms")
		n.figure(key+"_throughput", w.mbits, "Mbit/s")
		return []string{name, fmt.Sprintf("%6.2f ms", w.rtt), fmt.Sprintf("x %.1f", w.rtt/direct.rtt), fmt.Sprintf("%5.0f Mbit/s", w.mbits), fmt.Sprintf("x %.2f", w.mbits/direct.mbits)}
	}
	n.table([]string{"from neighbour to neighbour", "round trip", "of direct", "throughput", "of direct"},
		row("the plain LAN", "lan", lan), row("mesh, direct", "direct", direct), row("mesh, direct, the hub dead", "dead", dead),
		row("mesh, relayed by the hub", "relayed", relayed), row("OpenVPN, through the hub", "openvpn", vpn))
}

// measured is how long throughput is measured.
const measured = 2 * time.Second

// measure is the throughput to an address where iperf3 listens, and the usual round trip.
func (n *newcomers) measure(from, to string) (w way) {
	n.t.Helper()
	out := n.in(from, "ping", "-q", "-c", "50", "-i", "0.02", to)
	_, times, _ := strings.Cut(out, "rtt min/avg/max/mdev = ")
	if part := strings.Split(times, "/"); len(part) > 1 {
		w.rtt, _ = strconv.ParseFloat(part[1], 64)
	}
	var r struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	must(n.t, json.Unmarshal([]byte(n.in(from, "iperf3", "-c", to, "-J", "-t", fmt.Sprint(measured.Seconds()))), &r))
	if w.mbits = r.End.Received.Rate / 1e6; w.rtt == 0 || w.mbits == 0 {
		n.t.Fatalf("nothing was measured from %s to %s: %s", from, to, out)
	}
	return w
}

// path is how a node reaches another in the mesh; its Path is "" while it does not
// know it.
type path struct{ Host, Path, Via, Why string }

func (p path) words() string { return fmt.Sprintf("%s by %s: %s", p.Path, p.Via, p.Why) }

func (n *newcomers) path(from, to string) path {
	var status struct{ Peers []path }
	out, err := n.agent(n.t.Context(), from, "mesh", "status", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &status)
	}
	for _, p := range status.Peers {
		if err == nil && p.Host == n.ids[to] {
			return p
		}
	}
	return path{}
}

// reaches waits until a node reaches another in a way.
func (n *newcomers) reaches(from, to, how string) {
	n.t.Helper()
	defer func() {
		if n.t.Failed() {
			n.t.Logf("%s is reached %s; it reaches %s %s", to, n.path(from, to).words(), from, n.path(to, from).words())
		}
	}()
	n.until(2*time.Minute, from+" reaches "+to+" "+how, func() bool { return n.pings(from, n.at[to]) && n.path(from, to).Path == how })
}

// hubBytes is what passed the hub's interface to a node's LAN, in both directions.
func (n *newcomers) hubBytes(node string) (sum int64) {
	n.t.Helper()
	var links []struct {
		Stats map[string]struct{ Bytes int64 } `json:"stats64"`
	}
	must(n.t, json.Unmarshal([]byte(n.in("hub", "ip", "-s", "-j", "link", "show", port(router(node)))), &links))
	return links[0].Stats["rx"].Bytes + links[0].Stats["tx"].Bytes
}

// killHub ends the hub as a fire does: fernwerkd, its openvpn, its process of the
// mesh, and its line.
func (n *newcomers) killHub() {
	n.t.Helper()
	must(n.t, n.hub.Process.Kill())
	n.hub.Wait()
	n.signal("hub", "openvpn", syscall.SIGKILL)
	n.signal("hub", "fernwerk-mesh", syscall.SIGKILL)
	n.in("hub", "ip", "link", "set", "wan", "down")
}
