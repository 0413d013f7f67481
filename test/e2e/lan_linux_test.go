package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// Nodes that are in an OpenVPN tunnel and in no mesh: a neighbour's name leads to it by
// the LAN, from anywhere else through the tunnel, and follows it when it moves. Two sites
// have the same network and never get each other's addresses.
func TestNeighbours(t *testing.T) {
	for _, tool := range []string{"dig", "iperf3", "named", "getent"} {
		require.Tool(t, tool)
	}
	n := newTunnelNet(t)
	n.configure("\n[dns]\nzone = \"grid.test\"\nlisten = \":53\"\n")
	n.branch("r1", "203.0.113.10")
	n.branch("r2", "203.0.113.11")
	for _, node := range []string{"a", "b", "c", "d"} {
		n.space(node)
	}
	n.attach("a", "eth0", "r1", "192.168.1.2")
	n.attach("b", "eth0", "r1", "192.168.1.3")
	n.attach("c", "eth0", "r2", "192.168.1.2") // a's address, at another site
	n.attach("d", "eth0", "r1", "192.168.1.4")
	n.serve()
	n.nodeType()
	ids, address, name := map[string]string{}, map[string]string{}, map[string]string{}
	for _, node := range []string{"a", "b", "c", "d"} {
		ids[node] = n.join(node, plain...)
		n.started(node)
		n.agentDo(node, "tunnel", "up", "vpns", "--wait", "--timeout", "30s")
		address[node] = n.status(node).Address
		b := strings.Split(address[node], ".")
		name[node] = "vnode-" + b[2] + "-" + b[3] + ".grid.test"
	}
	gets := func(within time.Duration, node, of, want string) {
		t.Helper()
		got := ""
		began := time.Now()
		for got != want {
			if got = n.dig(node, name[of]); got != want && time.Since(began) > within {
				t.Fatalf("%s is told that %s is at %q, not %s", node, of, got, want)
			}
		}
		t.Logf("%s is told after %v that %s is at %s", node, time.Since(began).Round(time.Millisecond), of, want)
	}

	// Without leave it is the tunnel for everybody.
	n.until(10*time.Second, "the server knows b's LAN", func() bool { return strings.Contains(n.mustTool("tunnel", "show", ids["b"]), "192.168.1.3/24") })
	gets(0, "a", "b", address["b"])
	n.mustTool("node-type", "set", "vnode", "--lan-direct")
	gets(5*time.Second, "a", "b", "192.168.1.3")
	gets(0, "b", "a", "192.168.1.2")
	gets(0, "c", "b", address["b"])
	gets(0, "c", "a", address["a"])
	gets(0, "a", "c", address["c"])
	if got := n.dig("hub", name["b"]); got != address["b"] {
		t.Errorf("the hub is told that b is at %s", got)
	}
	// One name, also back, by the tunnel's address and by the LAN's.
	for _, at := range []string{"192.168.1.3", address["b"]} {
		if got := n.dig("a", "-x", at); got != name["b"]+"." {
			t.Errorf("%s is called %q by a", at, got)
		}
	}
	if got := n.dig("c", "-x", "192.168.1.3"); got != "" {
		t.Errorf("192.168.1.3 is called %q at another site", got)
	}
	// As programs of the node see it, by the resolv.conf that the tunnel brought.
	if got := n.as("a", "getent", "ahostsv4", name["b"]); !strings.HasPrefix(got, "192.168.1.3 ") {
		t.Errorf("a's programs are told %q", got)
	}
	if got := n.as("a", "getent", "hosts", "192.168.1.3"); !strings.Contains(got, name["b"]) {
		t.Errorf("a's programs call 192.168.1.3 %q", got)
	}
	list := n.mustTool("dns", "list", name["b"])
	if !strings.Contains(list, "192.168.1.3") || !strings.Contains(list, "nodes in 192.168.1.0/24 behind 203.0.113.10") || !strings.Contains(list, address["b"]) {
		t.Errorf("dns list: %s", list)
	}

	// What they say to each other stays in their LAN.
	short, _, _ := strings.Cut(name["b"], ".")
	if n.as("a", "ping", "-c", "1", "-W", "2", short) == "" {
		t.Errorf("a does not reach %s, searched in grid.test", short)
	}
	const much = 64
	tunnel, wan := n.bytes("hub", "tun0"), n.bytes("hub", "wan")
	rate := n.transfer("a", "b", name["b"], much)
	tunnel, wan = n.bytes("hub", "tun0")-tunnel, n.bytes("hub", "wan")-wan
	t.Logf("%d MiB by the LAN: %.0f Mbit/s; the hub's tunnel carried %d bytes meanwhile (the name), its network %d", much, rate/1e6, tunnel, wan)
	if tunnel > 4<<10 || wan > 256<<10 {
		t.Errorf("the hub's tunnel carried %d bytes, its network %d", tunnel, wan)
	}
	tunnel = n.bytes("hub", "tun0")
	n.transfer("a", "b", "192.168.1.3", much)
	if tunnel = n.bytes("hub", "tun0") - tunnel; tunnel > 1<<10 {
		t.Errorf("the hub's tunnel carried %d bytes", tunnel)
	}
	through := n.transfer("c", "b", name["b"], 8)
	t.Logf("through the hub: %.0f Mbit/s, %.1f times less", through/1e6, rate/through)

	// d says that it has b's address: nobody is led to either by it, but through the tunnel.
	n.in("d", "ip", "link", "add", "eth9", "type", "veth", "peer", "name", "dead")
	n.in("d", "ip", "addr", "add", "192.168.1.3/32", "dev", "eth9")
	n.in("d", "ip", "link", "set", "eth9", "up")
	n.in("d", "ip", "link", "set", "dead", "up")
	gets(0, "a", "d", "192.168.1.4") // a /32 is no network
	n.in("d", "ip", "addr", "replace", "192.168.1.3/26", "dev", "eth9")
	gets(10*time.Second, "a", "b", address["b"])
	gets(0, "a", "d", "192.168.1.4")
	if show := n.mustTool("tunnel", "show", ids["b"]); !strings.Contains(show, "192.168.1.3/24 (told by "+ids["d"]+" too)") {
		t.Errorf("administrators see %s", show)
	}
	if list := n.mustTool("dns", "list", "--problems"); !strings.Contains(list, "192.168.1.3") {
		t.Errorf("problems: %s", list)
	}
	n.in("d", "ip", "link", "del", "eth9")
	gets(10*time.Second, "a", "b", "192.168.1.3")

	// A session that ends and begins anew has it at once.
	n.mustTool("tunnel", "disconnect", ids["b"], "--yes")
	n.until(30*time.Second, "b is back", func() bool { return n.pings("hub", address["b"]) })
	gets(5*time.Second, "a", "b", "192.168.1.3")

	// Another address in the same LAN; a's own resolver keeps answers as long as it may.
	cached := n.cache("a")
	n.until(10*time.Second, "a's resolver answers", func() bool { return cached(name["b"]) == "192.168.1.3" })
	n.in("b", "ip", "addr", "add", "192.168.1.33/24", "dev", "eth0")
	n.in("b", "ip", "addr", "del", "192.168.1.3/24", "dev", "eth0")
	n.in("b", "ip", "addr", "replace", "192.168.1.33/24", "dev", "eth0")
	n.in("b", "ip", "route", "replace", "default", "via", "192.168.1.1")
	gets(20*time.Second, "a", "b", "192.168.1.33")
	took := n.until(10*time.Second, "a's resolver follows", func() bool { return cached(name["b"]) == "192.168.1.33" })
	t.Logf("a's own resolver follows %v later", took)
	if !n.pings("a", "192.168.1.33") {
		t.Error("a does not reach b")
	}

	// b moves to the other site.
	n.detach("b", "eth0")
	n.attach("b", "eth1", "r2", "192.168.1.7")
	gets(40*time.Second, "c", "b", "192.168.1.7")
	gets(0, "a", "b", address["b"])
	gets(0, "b", "c", "192.168.1.2")
	gets(0, "b", "a", address["a"])
	took = n.until(10*time.Second, "a's resolver follows", func() bool { return cached(name["b"]) == address["b"] })
	t.Logf("a's own resolver follows %v later", took)
	if !n.pings("a", address["b"]) || n.as("c", "ping", "-c", "1", "-W", "2", name["b"]) == "" {
		t.Error("b is not reached where it moved to")
	}

	// Unplugged: the LAN's address is nobody's any more.
	n.detach("b", "eth1")
	gets(40*time.Second, "c", "b", address["b"])
	ops := n.mustTool("host", "history", ids["b"])
	if !strings.Contains(ops, "192.168.1.7/24") {
		t.Errorf("b's history: %s", ops)
	}
	if log := n.in("hub", "cat", filepath.Join(n.dir, "fernwerkd.log")); strings.Contains(log, "level=ERROR") {
		t.Errorf("the server's log has errors: %s", log)
	}
}

// A node that moves is back in its tunnel within seconds, although OpenVPN's own patience
// is a minute.
func TestNeighbours_TunnelFollows(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	n := newTunnelNet(t)
	n.branch("r1", "203.0.113.10")
	n.branch("r2", "203.0.113.11")
	n.space("b")
	n.attach("b", "eth0", "r1", "192.168.1.3")
	text, err := os.ReadFile(n.conf)
	must(t, err)
	must(t, os.WriteFile(n.conf, []byte(strings.Replace(string(text), "keepalive = [1, 4]\n", "", 1)), 0o600))
	n.serve()
	n.nodeType()
	id := n.join("b", plain...)
	n.started("b")
	n.agentDo("b", "tunnel", "up", "vpns", "--wait", "--timeout", "30s")
	address := n.status("b").Address
	n.until(10*time.Second, "b is reached", func() bool { return n.pings("hub", address) })
	n.detach("b", "eth0")
	n.attach("b", "eth1", "r2", "192.168.1.7")
	took := n.until(20*time.Second, "b is reached where it moved to", func() bool { return n.pings("hub", address) })
	t.Logf("reached after %v", took)
	n.until(5*time.Second, "the server knows", func() bool {
		show := n.mustTool("tunnel", "show", id)
		return strings.Contains(show, "203.0.113.11") && strings.Contains(show, "192.168.1.7/24") && !strings.Contains(show, "(")
	})
}
