package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAttack70_HostileNode: one node is an enemy's, with root, a certificate that counts
// and a place in the tunnel. It claims the address of another node and networks that
// are not its own, asks for credentials without end, and floods the tunnel's port. The
// other node notices none of it, and none of the claims brings the enemy one packet.
func TestAttack70_HostileNode(t *testing.T) {
	t.Parallel()
	n := newTunnelNet(t, "a", "b")
	n.serve()
	n.nodeType()
	address := map[string]string{}
	for _, node := range []string{"a", "b"} {
		n.join(node, plain...)
		n.start(node)
		n.agentDo(node, "tunnel", "up", "vpns", "--wait", "--timeout", "30s")
		address[node] = n.status(node).Address
	}
	good := func(when string) {
		t.Helper()
		if !n.pings("a", vpnAddress) || !n.pings("hub", address["a"]) {
			t.Errorf("%s: a and the hub do not reach each other", when)
		}
	}
	good("before")

	// The hub would send to those networks by the tunnel: what lets the enemy not have
	// them is OpenVPN, which knows of no route behind it.
	const foreign = "198.51.100.7"
	n.in("hub", "ip", "route", "add", "198.51.100.0/24", "dev", "tun0")
	for _, claimed := range []string{address["a"], foreign, "129.88.70.7"} { // the last is in a route of the node type
		n.in("b", "ip", "addr", "add", claimed+"/32", "dev", "tun0")
		if n.enter(t.Context(), "b", "ping", "-c", "2", "-W", "1", "-i", "0.2", "-I", claimed, vpnAddress).Run() == nil {
			t.Errorf("b talks as %s", claimed)
		}
		if claimed != address["a"] && n.pings("hub", claimed) {
			t.Errorf("what the hub sends to %s goes to b", claimed)
		}
		good("b claims " + claimed)
		n.in("b", "ip", "addr", "del", claimed+"/32", "dev", "tun0")
	}
	if n.enter(t.Context(), "b", "ping", "-c", "1", "-W", "1", "-I", address["b"], vpnAddress).Run() != nil {
		t.Error("b does not even talk as itself: the claims prove nothing")
	}

	// Credentials without end: each key has its number in an hour.
	home, refused := filepath.Join(n.dir, "many"), ""
	for i := 0; i < 30 && refused == ""; i++ {
		must(t, os.RemoveAll(home))
		if out, err := n.agent(t.Context(), "b", "tunnel", "credentials", "vpns", "--force", "--dir", home).CombinedOutput(); err != nil {
			refused = string(out)
			t.Logf("refused after %d: %s", i, strings.TrimSpace(refused))
		}
	}
	if !strings.Contains(refused, "within an hour") {
		t.Errorf("b is given credentials without end, or refused otherwise: %s", refused)
	}
	n.agentDo("a", "tunnel", "credentials", "vpns", "--force", "--dir", filepath.Join(n.dir, "one")) // a is not

	// Connections that say nothing, and some that say rubbish.
	const many = 300
	flood := n.enter(t.Context(), "b", "bash", "-c", fmt.Sprintf(`for i in $(seq %d); do exec {fd}<>/dev/tcp/%s/4242 && { [ $((i %% 3)) != 0 ] || head -c 300 /dev/urandom >&$fd; }; done
echo flooded; sleep 60`, many, hubAddress))
	n.background(flood, "flood.log")
	flooded := func() bool {
		text, _ := os.ReadFile(filepath.Join(n.dir, "flood.log"))
		return strings.Contains(string(text), "flooded")
	}
	n.until(30*time.Second, "the port is flooded", flooded)
	good("b floods the port")
	n.agentDo("a", "tunnel", "down", "vpns")
	n.until(10*time.Second, "a is out", func() bool { return n.status("a").State == "off" && !n.pings("hub", address["a"]) })
	began := time.Now()
	n.agentDo("a", "tunnel", "up", "vpns", "--wait", "--timeout", "30s")
	t.Logf("with %d connections of b in the way, a enters within %v", many, time.Since(began).Round(time.Millisecond))
	good("a came in through the flood")
}
