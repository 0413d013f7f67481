package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A tunnel over UDP, from behind routers that translate addresses: nodes are up and
// reached, who leaves is out soon, long before silence says so, a server
// that comes back has its nodes at once, a revoked one is put out, and who has no key
// of the port gets no answer. Then the line takes smaller packets only and says
// nothing of it: with `mtu` all that is sent arrives. At last the server goes over to
// TCP, and the nodes find out.
func TestTunnel_UDP(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	n := newTunnelNet(t, "a", "b")
	const keepalive = "keepalive = [5, 30]\n" // silence is noticed after a minute
	udp := func(more string) {
		n.grace = 1
		n.configure(more)
		text, err := os.ReadFile(n.conf)
		must(t, err)
		must(t, os.WriteFile(n.conf, []byte(strings.Replace(string(text), "keepalive = [1, 4]\n", keepalive, 1)), 0o600))
	}
	udp("proto = \"udp\"\n")
	n.serve()
	n.nodeType()
	address, agents := map[string]string{}, map[string]*exec.Cmd{}
	ids := map[string]string{}
	for _, node := range []string{"a", "b"} {
		ids[node] = n.join(node, plain...)
		agents[node] = n.start(node)
		began := time.Now()
		n.agentDo(node, "tunnel", "up", "vpns", "--wait", "--timeout", "20s")
		address[node] = n.status(node).Address
		t.Logf("%s is up at %s after %v", node, address[node], time.Since(began).Round(time.Millisecond))
	}
	home := filepath.Join(n.dir, "d/tunnel/vpns")
	conf := n.in("hub", "cat", filepath.Join(home, "server.conf"))
	for _, line := range []string{"proto udp", "tls-crypt-v2 tls-crypt-v2.key force-cookie", "explicit-exit-notify 1"} {
		if !strings.Contains(conf, line+"\n") {
			t.Errorf("the server's configuration lacks %q:\n%s", line, conf)
		}
	}
	reached := func(why string) {
		t.Helper()
		took := n.until(30*time.Second, why, func() bool { return n.pings("hub", address["a"]) && n.pings("a", address["b"]) })
		t.Logf("%s: reached after %v", why, took)
	}
	reached("both are up")

	// No answer to who has no key: neither to noise nor to the first packet of a client
	// without tls-crypt.
	for name, packet := range map[string]string{"noise": strings.Repeat("x", 100), "a client without a key": "\x38" + strings.Repeat("\x01", 8) + "\x00\x00\x00\x00\x00"} {
		script := `import socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(2); s.sendto(bytes.fromhex(sys.argv[2]),(sys.argv[1],4242))
try: print("answer",s.recv(2000).hex())
except TimeoutError: print("silence")`
		if out := n.in("a", "python3", "-c", script, hubAddress, fmt.Sprintf("%x", packet)); strings.TrimSpace(out) != "silence" {
			t.Errorf("%s: %s", name, out)
		}
	}

	// Who leaves says so; openvpn lets five seconds pass then.
	n.agentDo("b", "tunnel", "down", "vpns")
	left := n.until(15*time.Second, "b is out at the server", func() bool { return !n.isUp(ids["b"]) })
	t.Logf("b left, and the server knew after %v", left)
	n.agentDo("b", "tunnel", "up", "vpns", "--wait", "--timeout", "20s")
	reached("b is back")

	// The server's openvpn ends and comes back: it says so too.
	var pid int
	before := strings.TrimSpace(n.in("hub", "cat", filepath.Join(home, "running")))
	fmt.Sscanf(before, `{"pid":%d`, &pid)
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	n.until(10*time.Second, "openvpn is started again", func() bool {
		return strings.TrimSpace(n.in("hub", "cat", filepath.Join(home, "running"))) != before
	})
	reached("after openvpn was ended")

	// The agent and its openvpn are killed, as in a power cut, and the server is out of
	// reach: the machine has its own name servers back.
	if !strings.Contains(n.resolv("a"), "10.134.0.1") {
		t.Errorf("resolv.conf of a: %s", n.resolv("a"))
	}
	must(t, agents["a"].Process.Kill())
	agents["a"].Wait()
	for _, pid := range strings.Fields(n.in("a", "ip", "netns", "pids", n.id+"a")) {
		n.enter(t.Context(), "a", "kill", "-9", pid).Run()
	}
	if !strings.Contains(n.resolv("a"), "10.134.0.1") {
		t.Errorf("nothing is left to repair: %s", n.resolv("a"))
	}
	n.in("ra", "ip", "link", "set", "wan", "down")
	agents["a"] = n.start("a")
	took := n.until(10*time.Second, "a has its own name servers back", func() bool { return n.resolv("a") == "nameserver 192.168.1.1\n" })
	t.Logf("a's resolv.conf is its own %v after the next start", took)
	n.in("ra", "ip", "link", "set", "wan", "up")
	n.until(60*time.Second, "a is up again", func() bool { return n.status("a").State == "up" })
	reached("after a power cut")

	// A line that takes 1300 bytes, and tells nobody.
	for _, link := range [][2]string{{"ra", "wan"}, {"hub", port("ra")}} {
		n.in(link[0], "ip", "link", "set", link[1], "mtu", "1300")
	}
	n.in("ra", "nft", "add table ip hush; add chain ip hush in { type filter hook output priority 0; }; add rule ip hush in icmp type destination-unreachable drop")
	whole := func(bytes int) bool {
		return n.enter(t.Context(), "a", "ping", "-c", "1", "-W", "2", "-M", "do", "-s", fmt.Sprint(bytes-28), "10.134.0.1").Run() == nil
	}
	if !whole(1000) || whole(1400) {
		t.Errorf("the line is no narrow one: 1000 bytes %v, 1400 bytes %v", whole(1000), whole(1400))
	}
	n.stop()
	udp("proto = \"udp\"\nmtu = 1200\n")
	n.serve()
	n.until(30*time.Second, "1200 bytes are what the tunnel takes, and they arrive", func() bool { return whole(1200) && !whole(1201) })

	// The server goes over to TCP.
	n.stop()
	udp("mtu = 1200\n")
	n.serve()
	took = n.until(2*time.Minute, "a is up over TCP", func() bool {
		return strings.Contains(n.in("a", "cat", filepath.Join(n.data("a"), "tunnel/vpns/vpns.conf")), "proto tcp\n") && n.status("a").State == "up"
	})
	t.Logf("a went over to TCP after %v", took)
	n.until(10*time.Second, "a is reached over TCP", func() bool { return n.pings("hub", address["a"]) })

	n.mustTool("host", "revoke", ids["a"], "--yes")
	n.until(10*time.Second, "a is put out", func() bool { return !n.pings("hub", address["a"]) })
	if _, err := netip.ParseAddr(address["a"]); err != nil {
		t.Error(err)
	}
}

// isUp tells whether a host is in the tunnel, by the server's word.
func (n *tunnelNet) isUp(id string) bool {
	for line := range strings.Lines(n.mustTool("tunnel", "list")) {
		if word := strings.Fields(line); len(word) > 2 && word[0] == id {
			return word[2] == "up"
		}
	}
	return false
}
