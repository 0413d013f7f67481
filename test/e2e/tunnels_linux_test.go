package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A node joins, enters the tunnel, and is reached at its address; it has the same one
// after it was away, and after it joined again. Restarts of fernwerkd cut nothing,
// those of openvpn are over in seconds, and a host that is revoked is out at once.
func TestTunnel(t *testing.T) {
	n := newTunnelNet(t, "a", "b")
	n.serve()
	n.nodeType()
	ids := map[string]string{}
	agents := map[string]*exec.Cmd{}
	address := map[string]string{}
	for _, node := range []string{"a", "b"} {
		ids[node] = n.join(node)
		agents[node] = n.start(node)
		began := time.Now()
		out := n.agentDo(node, "tunnel", "up", "vpns", "--wait", "--timeout", "20s")
		t.Logf("%s: %s after %v", node, strings.TrimSpace(out), time.Since(began))
		address[node] = n.status(node).Address
	}
	if address["a"] == address["b"] || !strings.HasPrefix(address["a"], "10.134.") {
		t.Fatalf("addresses %v", address)
	}
	reached := func(why string) {
		t.Helper()
		took := n.until(30*time.Second, why, func() bool {
			return n.pings("hub", address["a"]) && n.pings("hub", address["b"]) && n.pings("a", address["b"]) && n.pings("a", "10.134.0.1")
		})
		t.Logf("%s: reached after %v", why, took)
	}
	reached("both are up")
	for _, want := range []string{"nameserver 10.134.0.1", "search grid.test", "nameserver 192.168.1.1"} {
		if !strings.Contains(n.resolv("a"), want+"\n") {
			t.Errorf("resolv.conf of a lacks %q: %s", want, n.resolv("a"))
		}
	}
	if routes := n.in("a", "ip", "route"); !strings.Contains(routes, "129.88.70.0/26 via 10.134.0.1") {
		t.Errorf("the route is not there: %s", routes)
	}
	vpn := func() string {
		return strings.TrimSpace(n.in("hub", "cat", filepath.Join(n.dir, "d/tunnel/vpns/running")))
	}

	// fernwerkd ends and comes back: openvpn is the same, no packet is lost.
	before := vpn()
	n.stop()
	reached("without fernwerkd")
	n.serve()
	n.until(20*time.Second, "the tunnel is taken over", func() bool {
		log, _ := os.ReadFile(filepath.Join(n.dir, "fernwerkd.log"))
		return strings.Contains(string(log), "Tunnel goes on")
	})
	if vpn() != before {
		t.Errorf("openvpn was started anew: %s, %s", before, vpn())
	}
	reached("with the next fernwerkd")

	// openvpn is killed: it is started again, the nodes come back to their addresses.
	var pid int
	fmt.Sscanf(before, `{"pid":%d`, &pid)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	n.until(10*time.Second, "openvpn is started again", func() bool { return vpn() != before })
	reached("after openvpn was killed")

	// The agent ends and comes back: its openvpn is the same.
	must(t, agents["a"].Process.Kill())
	agents["a"].Wait()
	reached("without the agent")
	agents["a"] = n.start("a")
	reached("with the next agent")

	// The same host joins again, on a machine that lost everything.
	n.agentDo("b", "tunnel", "down", "vpns")
	n.until(10*time.Second, "b is out", func() bool { return n.status("b").State == "off" && !n.pings("hub", address["b"]) })
	if strings.Contains(n.resolv("b"), "10.134.0.1") {
		t.Errorf("resolv.conf of b still names the tunnel's: %s", n.resolv("b"))
	}
	n.agentDo("b", "tunnel", "up", "vpns", "--wait", "--timeout", "20s")
	reached("b is back")
	if got := n.status("b").Address; got != address["b"] {
		t.Errorf("b had %s and has %s", address["b"], got)
	}

	// Revoked: out, and refused from then on.
	n.mustTool("host", "revoke", ids["a"], "--yes")
	took := n.until(10*time.Second, "a is out", func() bool { return !n.pings("hub", address["a"]) })
	t.Logf("revoked and cut: %v", took)
	took = n.until(30*time.Second, "a notices", func() bool { return n.status("a").State != "up" })
	t.Logf("its agent says so: %v later", took)
	if !n.pings("hub", address["b"]) {
		t.Error("b went with it")
	}
}
