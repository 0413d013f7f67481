package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/e2e/site"
	"github.com/fernwerk/fernwerk/test/require"
)

// twoHubs are two servers on one PostgreSQL, on machines of their own in the networks
// of a tunnelNet, whose own hub is only the wire between.
type twoHubs struct {
	*tunnelNet
	hubs [2]*hub
}

// hub is a machine with a server.
type hub struct {
	net                 *twoHubs
	name, address, data string
	server              *exec.Cmd
	database            *wire
}

const idOfBoth = "fleet.grid.test"

// newTwoHubs makes them with a configuration each, and starts the first, then the second.
func newTwoHubs(t *testing.T, more string, nodes ...string) *twoHubs {
	t.Helper()
	database := require.Postgres(t)
	n := &twoHubs{tunnelNet: newTunnelNet(t, nodes...)}
	for i, name := range []string{"h1", "h2"} {
		h := &hub{net: n, name: name, address: fmt.Sprintf("203.0.113.%d", 101+i), data: filepath.Join(n.dir, name+".d")}
		n.hubs[i] = h
		n.space(name)
		n.cable(name, "eth0", h.address, "hub", "wan")
		must(t, os.Mkdir(h.data, 0o700))
		must(t, os.WriteFile(filepath.Join(h.data, "cluster.key"), []byte("c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlISE=\n"), 0o600))
		h.database = newWire(t, filepath.Join(n.dir, name+".pg"), database)
		must(t, os.WriteFile(filepath.Join(n.dir, name+".toml"), []byte(fmt.Sprintf("database = %q\nreplica = %q\ndepot = %q\nid = %q\n", h.database.url, name, filepath.Join(n.dir, "depot"), idOfBoth)+more), 0o600))
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(n.dir, "*/tunnel/*/openvpn.log"))
			for _, path := range logs {
				text, _ := os.ReadFile(path)
				t.Logf("%s:\n%s", path, text[max(0, len(text)-6000):])
			}
		}
	})
	for _, h := range n.hubs {
		h.serve()
	}
	return n
}

// serve starts a server, and waits until it answers.
func (h *hub) serve() {
	n := h.net
	n.t.Helper()
	h.server = n.enter(n.t.Context(), h.name, n.p.Path("fernwerkd"), "serve", "--data", h.data, "--listen", h.address+":4447", "--config", filepath.Join(n.dir, h.name+".toml"))
	h.server.Env = append(os.Environ(), "FERNWERK_ADMIN_PASSWORD="+site.Password)
	n.background(h.server, h.name+".log")
	n.until(40*time.Second, h.name+" answers", func() bool { _, err := h.tool("status"); return err == nil })
}

func (h *hub) tool(args ...string) (string, error) {
	n := h.net
	cmd := n.enter(n.t.Context(), h.name, append([]string{n.p.Path("fernwerk")}, args...)...)
	cmd.Env = append(os.Environ(), "FERNWERK_SERVER=https://"+h.address+":4447", "FERNWERK_USER=admin", "FERNWERK_PASSWORD="+site.Password, "FERNWERK_CA="+filepath.Join(h.data, "ca", "ca.pem"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("fernwerk %v: %w: %s", args, err, errOut.String())
	}
	return out.String(), nil
}

func (h *hub) mustTool(args ...string) string {
	h.net.t.Helper()
	out, err := h.tool(args...)
	must(h.net.t, err)
	return out
}

func (h *hub) log() string {
	text, _ := os.ReadFile(filepath.Join(h.net.dir, h.name+".log"))
	return string(text)
}

// vpn is the openvpn that runs at a hub; 0 for none.
func (h *hub) vpn() int {
	pids, _ := exec.Command("ip", "netns", "pids", h.net.id+h.name).Output()
	for _, pid := range strings.Fields(string(pids)) {
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		if bytes.Contains(line, []byte("openvpn\x00")) {
			var n int
			fmt.Sscan(pid, &n)
			return n
		}
	}
	return 0
}

// guarded is how long what a guard's file stands for may run without its server.
func (h *hub) guarded(file string) time.Duration {
	text, err := os.ReadFile(filepath.Join(h.data, file))
	if err != nil {
		return time.Hour
	}
	now, err := os.ReadFile("/proc/uptime")
	must(h.net.t, err)
	var until int64
	var up float64
	fmt.Sscan(string(text), &until)
	fmt.Sscan(string(now), &up)
	return time.Duration(until) - time.Duration(up*float64(time.Second))
}

// join makes a node a host by a token of a hub.
func (h *hub) join(node string) string {
	n := h.net
	n.t.Helper()
	token := strings.Fields(h.mustTool("token", "create", "--node-type", "vnode", "--uses", "1", "--ttl", "1h", "--policy", "plain-opsi"))
	_, id, _ := strings.Cut(n.agentDo(node, "join", token[len(token)-1]), " as ")
	return strings.Fields(id)[0]
}

// facts is what a hub knows of a host's presence.
func (h *hub) facts(id string) (out struct {
	Up            bool
	Name, Address string
}) {
	text, err := h.tool("rpc", "presence_getObjects", `["`+id+`"]`)
	var all []json.RawMessage
	if err == nil && json.Unmarshal([]byte(text), &all) == nil && len(all) > 0 {
		json.Unmarshal(all[0], &out)
	}
	return out
}

// wire is a way to a database that can be cut.
type wire struct {
	url  string
	mu   sync.Mutex
	cut  bool
	open map[net.Conn]bool
}

func newWire(t *testing.T, dir, database string) *wire {
	t.Helper()
	u, err := url.Parse(database)
	must(t, err)
	q := u.Query()
	far := filepath.Join(q.Get("host"), ".s.PGSQL.5432")
	must(t, os.Mkdir(dir, 0o700))
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	must(t, err)
	t.Cleanup(func() { l.Close() })
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	w := &wire{url: u.String(), open: map[net.Conn]bool{}}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(near, far)
		}
	}()
	return w
}

func (w *wire) carry(near net.Conn, path string) {
	defer near.Close()
	far, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	defer far.Close()
	w.mu.Lock()
	cut := w.cut
	w.open[near], w.open[far] = true, true
	w.mu.Unlock()
	if cut {
		return
	}
	ended := make(chan bool, 2)
	for a, b := range map[net.Conn]net.Conn{near: far, far: near} {
		go func() { io.Copy(a, b); ended <- true }()
	}
	<-ended
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for c := range w.open {
		c.Close()
		delete(w.open, c)
	}
}

// Two servers have one tunnel. The one that serves it is killed, hangs, and is cut off
// from everybody: each time the other one serves within the lease's time, the nodes are
// at their addresses with their names, presence never said that they were down, and no
// openvpn is left at the other one.
func TestTunnel_Failover(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	n := newTwoHubs(t, `
[[tunnel]]
name = "vpns"
remote = "203.0.113.101"
remotes = ["203.0.113.102"]
serve = true
device = "tun0"
keepalive = [1, 4]
`, "a", "b")
	one, two := n.hubs[0], n.hubs[1]
	one.mustTool("rpc", "nodeType_createObjects", `{"type":"NodeType","id":"vnode","addressRange":"10.134.0.0/16","domain":"grid.test","tunnel":"openvpn"}`)
	ids, address, names := map[string]string{}, map[string]string{}, map[string]string{}
	for _, node := range []string{"a", "b"} {
		ids[node] = one.join(node)
		n.start(node)
		n.agentDo(node, "tunnel", "up", "vpns", "--wait", "--timeout", "30s")
		address[node] = n.status(node).Address
	}
	reached := func(from *hub, why string, within time.Duration) {
		t.Helper()
		took := n.until(within, why, func() bool { return n.pings(from.name, address["a"]) && n.pings(from.name, address["b"]) })
		t.Logf("%s: both nodes are reached from %s after %v", why, from.name, took)
		for _, node := range []string{"a", "b"} {
			if got := n.status(node).Address; got != address[node] {
				t.Errorf("%s: %s had %s and has %s", why, node, address[node], got)
			}
			if f := from.facts(ids[node]); !f.Up || f.Address != address[node] || names[node] != "" && f.Name != names[node] {
				t.Errorf("%s: presence of %s is %+v", why, node, f)
			} else {
				names[node] = f.Name
			}
		}
	}
	quiet := func(h *hub, why string) {
		t.Helper()
		n.until(15*time.Second, why+": "+h.name+" has no openvpn", func() bool { return h.vpn() == 0 })
	}
	reached(one, "at first", 20*time.Second)
	if two.vpn() != 0 || !strings.Contains(two.log(), "served by another server") {
		t.Errorf("both serve: %s", two.log())
	}

	// A new start of the one that serves cuts nothing.
	before := one.vpn()
	must(t, one.server.Process.Signal(syscall.SIGTERM))
	one.server.Wait()
	one.serve()
	reached(one, "after a new start", 20*time.Second)
	if one.vpn() != before || two.vpn() != 0 {
		t.Errorf("openvpn was %d and is %d; the other server's is %d", before, one.vpn(), two.vpn())
	}

	must(t, one.server.Process.Kill())
	one.server.Wait()
	reached(two, "the server is killed", time.Minute)
	quiet(one, "killed")
	if list := two.mustTool("tunnel", "list"); !strings.Contains(list, address["a"]) {
		t.Errorf("tunnel list: %s", list)
	}

	// It comes back, and waits.
	one.serve()
	n.until(10*time.Second, "the first server knows that the other one serves", func() bool { return strings.Contains(one.log(), "served by another server") })
	reached(two, "the killed one is back", 5*time.Second)
	quiet(one, "back")

	// The other one hangs, and wakes up when it is too late. It knows by then that it is
	// not alone: its openvpn may run on for less than a minute.
	n.until(10*time.Second, "the second server knows that it can be followed", func() bool { return two.guarded("tunnel/vpns/openvpn.until") < time.Minute })
	must(t, two.server.Process.Signal(syscall.SIGSTOP))
	reached(one, "the server hangs", time.Minute)
	quiet(two, "hanging")
	must(t, two.server.Process.Signal(syscall.SIGCONT))
	n.until(30*time.Second, "the one that hung knows that it serves no more", func() bool { return strings.Contains(two.log(), "served by another server") })
	reached(one, "the one that hung goes on", 5*time.Second)
	quiet(two, "it goes on")

	// A machine is cut off from the network and from the database.
	n.in("hub", "ip", "link", "set", "toh1", "down")
	one.database.set(true)
	reached(two, "the machine is cut off", time.Minute)
	quiet(one, "cut off")
	one.database.set(false)
	n.in("hub", "ip", "link", "set", "toh1", "up")
	reached(two, "the machine is there again", 10*time.Second)
	quiet(one, "there again")

	for _, node := range []string{"a", "b"} {
		if log := two.mustTool("rpc", "journal_getEntries", ids[node]); strings.Contains(log, `"down"`) {
			t.Errorf("presence said that %s was down: %s", node, log)
		}
	}
}

// The hub of the mesh is killed, with its process alive: the other server's takes its
// place under the same address, and the nodes find it.
func TestMesh_HubFailover(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	n := newTwoHubs(t, `
[mesh]
enabled = true
at = ["203.0.113.101", "203.0.113.102"]
refresh = 5
`, "a", "b")
	one, two := n.hubs[0], n.hubs[1]
	one.mustTool("node-type", "create", "vnode", "--range", "10.134.0.0/16", "--domain", "grid.test", "--tunnel", "mesh")
	address := map[string]string{}
	for _, node := range []string{"a", "b"} {
		one.join(node)
		n.start(node)
		n.agentDo(node, "mesh", "up", "--wait", "--timeout", "60s")
		var st struct{ Address string }
		must(t, json.Unmarshal([]byte(n.agentDo(node, "mesh", "status", "--json")), &st))
		address[node], _, _ = strings.Cut(st.Address, "/")
	}
	reached := func(from *hub, why string, within time.Duration) {
		t.Helper()
		took := n.until(within, why, func() bool {
			return n.pings(from.name, address["a"]) && n.pings(from.name, address["b"]) && n.pings("a", address["b"])
		})
		t.Logf("%s: both nodes are reached from %s, and each other, after %v", why, from.name, took)
	}
	reached(one, "at first", 30*time.Second)
	n.until(30*time.Second, "the other server lists what the nodes told", func() bool {
		out, err := two.tool("mesh", "list")
		return err == nil && strings.Contains(out, address["a"])
	})
	n.until(10*time.Second, "the first server knows that it can be followed", func() bool { return one.guarded("mesh/mesh.until") < time.Minute })
	must(t, one.server.Process.Kill())
	one.server.Wait()
	reached(two, "the hub's server is killed", 90*time.Second)
	if out, err := n.enter(t.Context(), one.name, "ip", "link", "show", "fwmesh").CombinedOutput(); err == nil {
		t.Errorf("the killed server's hub is there: %s", out)
	}
}
