package e2e

import (
	"bytes"
	"context"
	"encoding/json"
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
	t.Parallel() // it mostly waits, in networks of its own
	n := newTunnelNet(t, "a", "b")
	n.serve()
	n.nodeType()
	ids := map[string]string{}
	agents := map[string]*exec.Cmd{}
	address := map[string]string{}
	for _, node := range []string{"a", "b"} {
		ids[node] = n.join(node, plain...)
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

	// A node leaves, and comes back.
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

	// The same host joins again on a machine that lost everything.
	n.agentDo("b", "tunnel", "down", "vpns")
	n.until(10*time.Second, "b is out", func() bool { return n.status("b").State == "off" })
	must(t, agents["b"].Process.Kill())
	agents["b"].Wait()
	must(t, os.RemoveAll(n.data("b")))
	n.mustTool("rpc", "host_updateObject", `{"type":"OpsiClient","id":"`+ids["b"]+`","oneTimePassword":"once-and-never-again"}`)
	n.agentDo("b", "join", "--server", "https://"+hubAddress+":4447", "--host-id", ids["b"], "--one-time-password", "once-and-never-again", "--ca-fingerprint", n.fingerprint())
	agents["b"] = n.start("b")
	n.agentDo("b", "tunnel", "up", "vpns", "--wait", "--timeout", "20s")
	if got := n.status("b").Address; got != address["b"] {
		t.Errorf("b had %s and joined again with %s", address["b"], got)
	}

	// What administrators see, and what they can do.
	list := n.mustTool("tunnel", "list")
	for _, node := range []string{"a", "b"} {
		if !strings.Contains(list, ids[node]) || !strings.Contains(list, address[node]) {
			t.Errorf("%s is not listed: %s", node, list)
		}
	}
	log := func() string { return n.in("hub", "cat", filepath.Join(n.dir, "fernwerkd.log")) }
	n.mustTool("tunnel", "disconnect", ids["b"], "--yes")
	n.until(5*time.Second, "b is put out", func() bool { return strings.Contains(log(), "an administrator wished it") })
	reached("after a disconnect")

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

// A signed update that runs once takes a node into the tunnel, and is done when the
// tunnel is up, not before.
func TestTunnel_Update000(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	n := newTunnelNet(t, "a")
	n.serve()
	n.nodeType()
	n.mustTool("trust", "init", filepath.Join(n.dir, "trust"), "--root-keys", "1", "--threshold", "1")
	n.mustTool("update", "new", "tunnel", "--in", n.dir, "--number", "000", "--node-types", "vnode", "--on-interrupt", "retry")
	path := filepath.Join(n.dir, "000-tunnel.sh")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	fmt.Fprintf(f, "%s tunnel up vpns --wait --timeout 1m --data %s || exit 1\nip -4 -o addr show tun0\n", n.p.Path("fernwerk-agent"), n.data("a"))
	must(t, f.Close())
	n.mustTool("update", "lint", path)
	n.mustTool("update", "sign", path)
	n.mustTool("trust", "publish")
	n.mustTool("update", "publish", "000", "--ring", "100%", "--yes")
	id := n.join("a")
	f, err = os.OpenFile(filepath.Join(n.data("a"), "agent.conf"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	fmt.Fprint(f, "\n[updates]\ninterval = 1\nspread = 0\n")
	must(t, f.Close())
	began := time.Now()
	n.start("a")
	n.until(60*time.Second, "the update is done", func() bool {
		out, _ := n.agent(t.Context(), "a", "updates", "list").CombinedOutput() // the agent may not listen yet
		return strings.Contains(string(out), "done")
	})
	t.Logf("update 000 done after %v", time.Since(began).Round(time.Millisecond))
	st := n.status("a")
	if st.State != "up" || !n.pings("hub", st.Address) {
		t.Fatalf("the update is done, and the tunnel is %+v", st)
	}
	if log := n.agentDo("a", "updates", "log", "000"); !strings.Contains(log, st.Address) {
		t.Errorf("the update did not find the tunnel's address: %s", log)
	}
	if out := n.mustTool("update", "status", "000", id); !strings.Contains(out, "done") {
		t.Errorf("the server says %s", out)
	}
}

// The real openvpn lets nobody in by a host's certificate, by one of another authority,
// or without the key that opens its port.
func TestTunnel_Refuses(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	n := newTunnelNet(t, "a")
	n.serve()
	n.nodeType()
	id := n.join("a", plain...)
	agent := n.start("a")
	n.agentDo("a", "tunnel", "up", "vpns", "--wait", "--timeout", "20s")
	n.agentDo("a", "tunnel", "down", "vpns")
	n.until(10*time.Second, "a is out", func() bool { return n.status("a").State == "off" })
	must(t, agent.Process.Kill())
	home := filepath.Join(n.data("a"), "tunnel", "vpns")
	var identity struct{ Key, Chain string }
	text, err := os.ReadFile(filepath.Join(n.data("a"), "identity.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &identity))
	tries := func(name string, change func(dir string)) string {
		t.Helper()
		dir := filepath.Join(n.dir, strings.ReplaceAll(name, " ", "-"))
		must(t, os.CopyFS(dir, os.DirFS(home)))
		if change != nil {
			change(dir)
		}
		ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
		defer stop()
		cmd := n.enter(ctx, "a", "openvpn", "--cd", dir, "--config", "vpns.conf", "--connect-retry-max", "2", "--connect-retry", "1", "--script-security", "0")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Run()
		return out.String()
	}
	write := func(dir, name, text string) { must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
	const inside = "Initialization Sequence Completed"
	if out := tries("as it is", nil); !strings.Contains(out, inside) {
		t.Fatalf("the test's own way does not lead in: %s", out)
	}
	if out := tries("a host's certificate", func(dir string) {
		write(dir, "client.crt", identity.Chain)
		write(dir, "client.key", identity.Key)
	}); strings.Contains(out, inside) || !strings.Contains(out, "AUTH_FAILED") {
		t.Errorf("a host's certificate: %s", out)
	}
	n.until(10*time.Second, "the host's history says who was refused, and why", func() bool {
		out := n.mustTool("host", "history", id)
		return strings.Contains(out, "tunnel refused") && strings.Contains(out, "not one for tunnel vpns")
	})
	if out := tries("of another authority", func(dir string) {
		n.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", filepath.Join(dir, "client.key"), "-out", filepath.Join(dir, "client.crt"),
			"-subj", "/CN=client1.fernwerk.internal", "-addext", "extendedKeyUsage=clientAuth")
	}); strings.Contains(out, inside) {
		t.Errorf("another authority's certificate: %s", out)
	}
	if log := n.in("hub", "cat", filepath.Join(n.dir, "d/tunnel/vpns/openvpn.log")); !strings.Contains(log, "VERIFY ERROR") {
		t.Errorf("openvpn did not refuse another authority: %s", log)
	}
	if out := tries("without the key of the port", func(dir string) {
		text, err := os.ReadFile(filepath.Join(dir, "vpns.conf"))
		must(t, err)
		write(dir, "vpns.conf", strings.Replace(string(text), "tls-crypt-v2 tls-crypt-v2.key\n", "", 1))
	}); strings.Contains(out, inside) {
		t.Errorf("without the key: %s", out)
	}
}
