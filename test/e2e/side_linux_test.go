package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fernwerk/fernwerk/test/require"
)

// sideNet is a tunnelNet whose server has OpenVPN and the mesh in one range, answers
// for names, and tells a scheduler which nodes are up.
type sideNet struct {
	*tunnelNet
	ids, address, names map[string]string
}

func newSideNet(t *testing.T, nodes ...string) *sideNet {
	t.Helper()
	require.Tool(t, "dig")
	n := &sideNet{newTunnelNet(t, nodes...), map[string]string{}, map[string]string{}, map[string]string{}}
	program := filepath.Join(n.dir, "scheduler")
	must(t, os.WriteFile(program, []byte("#!/bin/sh\ncat >>"+n.dir+"/asked\necho >>"+n.dir+"/asked\necho '{}'\n"), 0o755))
	n.configure(`
[dns]
zone = "grid.test"
listen = ":53"

[mesh]
enabled = true
refresh = 5

[scheduler]
use = ["exec"]
exec.program = ["` + program + `"]
`)
	for _, node := range nodes {
		n.found(node)
	}
	n.in("hub", "ip", "addr", "add", "129.88.70.1/32", "dev", "lo") // what the type's route leads to
	t.Cleanup(n.logs)
	n.serve()
	n.mustTool("node-type", "create", "vnode", "--range", "10.134.0.0/16", "--domain", "grid.test", "--tunnel", "openvpn", "--route", "129.88.70.0/26",
		"--dns-server", "10.134.0.1", "--search", "grid.test", "--scheduler", "exec")
	return n
}

// logs are what the processes of the mesh said, and the routes, of a test that failed.
func (n *sideNet) logs() {
	if !n.t.Failed() {
		return
	}
	for _, node := range sorted(n.ids) {
		text, _ := os.ReadFile(filepath.Join(n.data(node), "mesh", "mesh.log"))
		routes, _ := exec.Command("ip", "-n", n.id+node, "route").CombinedOutput()
		n.t.Logf("%s at %s: %s\n%s", node, n.address[node], routes, text)
	}
}

// enters joins a node and starts its agent.
func (n *sideNet) enters(node string, args ...string) {
	n.t.Helper()
	n.ids[node] = n.join(node, args...)
	f, err := os.OpenFile(filepath.Join(n.data(node), "agent.conf"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(n.t, err)
	fmt.Fprint(f, "\n[updates]\ninterval = 1\nspread = 0\n")
	must(n.t, f.Close())
	n.started(node)
}

// opens takes a node into OpenVPN, and notes where it is.
func (n *sideNet) opens(node string) {
	n.t.Helper()
	n.agentDo(node, "tunnel", "up", "vpns", "--wait", "--timeout", "30s")
	n.known(node, n.status(node).Address)
}

func (n *sideNet) known(node, address string) {
	part := strings.Split(address, ".")
	n.address[node], n.names[node] = address, "vnode-"+part[2]+"-"+part[3]+".grid.test"
}

// sameName asks from each node for the names of all.
func (n *sideNet) sameName(when string) {
	n.t.Helper()
	for from := range n.names {
		for node, name := range n.names {
			took := n.until(20*time.Second, when+": "+from+" finds "+name, func() bool {
				out, _ := n.enter(n.t.Context(), from, "dig", "+short", "+time=1", "+tries=1", "@10.134.0.1", name).Output()
				return strings.TrimSpace(string(out)) == n.address[node]
			})
			n.t.Logf("%s: dig at %s: %s is %s, after %v", when, from, name, n.address[node], took)
		}
		if !strings.Contains(n.resolv(from), "nameserver 10.134.0.1\n") || !strings.Contains(n.resolv(from), "search grid.test") {
			n.t.Errorf("%s: resolv.conf of %s: %s", when, from, n.resolv(from))
		}
	}
}

// way is the device by which a node reaches an address.
func (n *sideNet) way(node, to string) string {
	out, _ := n.enter(n.t.Context(), node, "ip", "route", "get", to).Output()
	_, rest, _ := strings.Cut(string(out), " dev ")
	device, _, _ := strings.Cut(rest, " ")
	return device
}

// ways waits until all nodes, and the hub, reach each other by a device.
func (n *sideNet) ways(when, device string, but ...string) {
	n.t.Helper()
	for _, from := range append([]string{"hub"}, sorted(n.address)...) {
		for to, address := range n.address {
			if from == to {
				continue
			}
			n.until(30*time.Second, fmt.Sprintf("%s: %s reaches %s by %s", when, from, to, device), func() bool {
				return n.way(from, address) == device && n.pings(from, address)
			})
		}
		if from != "hub" {
			n.until(30*time.Second, when+": "+from+" reaches the hub by "+device, func() bool {
				return n.way(from, "10.134.0.1") == device && n.pings(from, "10.134.0.1") && n.pings(from, "129.88.70.1")
			})
		}
	}
}

func sorted(all map[string]string) (keys []string) {
	for _, k := range []string{"a", "b", "c", "d"} {
		if _, ok := all[k]; ok {
			keys = append(keys, k)
		}
	}
	return keys
}

// inside calls fn in a namespace; sockets that it makes stay there.
func (n *sideNet) inside(space string, fn func() error) {
	n.t.Helper()
	done := make(chan error, 1)
	go func() { done <- inSpace("/run/netns/"+n.id+space, fn) }()
	must(n.t, <-done)
}

func inSpace(path string, fn func() error) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	there, err := os.Open(path)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = fn()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return back // the thread is no good for others, and ends
	}
	runtime.UnlockOSThread()
	return err
}

// flow is a connection over which something is said all the time.
type flow struct {
	mu   sync.Mutex
	last time.Time
	gap  time.Duration
	err  error
}

// talk begins a connection between two nodes that is answered at the other end, to the
// other's name.
func (n *sideNet) talk(from, to string) *flow {
	n.t.Helper()
	var l net.Listener
	n.inside(to, func() (err error) { l, err = net.Listen("tcp", ":7777"); return err })
	n.t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err == nil {
			io.Copy(conn, conn)
		}
	}()
	var conn net.Conn
	n.inside(from, func() error {
		out, err := n.enter(n.t.Context(), from, "dig", "+short", "@10.134.0.1", n.names[to]).Output()
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		at := net.ParseIP(strings.TrimSpace(string(out))).To4()
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 7777, Addr: [4]byte(at)}); err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "flow")
		defer f.Close()
		conn, err = net.FileConn(f)
		return err
	})
	n.t.Cleanup(func() { conn.Close() })
	f := &flow{last: time.Now()}
	go func() {
		r := bufio.NewReader(conn)
		for {
			_, err := r.ReadString('\n')
			f.mu.Lock()
			f.gap = max(f.gap, time.Since(f.last))
			f.last, f.err = time.Now(), err
			f.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(conn, "x\n"); err != nil {
				return
			}
		}
	}()
	return f
}

// pause is the longest silence since the last call; the connection lives.
func (n *sideNet) pause(f *flow, when string) time.Duration {
	n.t.Helper()
	began := time.Now()
	n.until(30*time.Second, when+": the connection goes on", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.err != nil || f.last.After(began)
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		n.t.Fatalf("%s: the connection ended: %v", when, f.err)
	}
	gap := f.gap
	f.gap = 0
	n.t.Logf("%s: the connection was silent for %v at most", when, gap.Round(time.Millisecond))
	return gap
}

// watch looks at presence all the time, and fails when a node is down. stop ends it.
func (n *sideNet) watch() (stop func()) {
	ctx, cancel := context.WithCancel(n.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			out, err := n.tool("tunnel", "list", "--all", "--json")
			var rows []struct {
				HostID, Tunnel string
				Up             bool
			}
			if err != nil || json.Unmarshal([]byte(out), &rows) != nil {
				continue
			}
			up := map[string]bool{}
			for _, r := range rows {
				up[r.HostID] = up[r.HostID] || r.Up
			}
			for node, id := range n.ids {
				if !up[id] && ctx.Err() == nil {
					n.t.Errorf("%s is down at %v", node, time.Now())
					cancel()
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

// meshOf is the process of a node's mesh, 0 without one.
func (n *sideNet) meshOf(node string) int {
	conn, err := net.Dial("unix", filepath.Join(n.data(node), "mesh", "mesh.sock"))
	if err != nil {
		return 0
	}
	defer conn.Close()
	var s struct{ PID int }
	io.WriteString(conn, "status\n")
	json.NewDecoder(conn).Decode(&s)
	return s.PID
}

// A fleet moves from OpenVPN to both and to the mesh, by the server's word and a signed
// update. Each name leads to the same address at each step, a connection that began
// before goes on, and no node is down for presence or the scheduler. Without the
// mesh's process all goes by OpenVPN.
func TestSide_FleetMoves(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	n := newSideNet(t, "a", "b", "c")
	n.mustTool("trust", "init", n.trust(), "--root-keys", "1", "--threshold", "1")
	n.mustTool("trust", "publish")
	for _, node := range []string{"a", "b", "c"} {
		n.enters(node)
		n.opens(node)
	}
	n.ways("OpenVPN", "tun0")
	n.sameName("OpenVPN")
	if out, err := n.agent(t.Context(), "a", "mesh", "up", "--wait", "--timeout", "5s").CombinedOutput(); err == nil || !strings.Contains(string(out), "refused") || !strings.Contains(string(out), "does not use the mesh") {
		t.Errorf("the mesh of a type that has none: %v %s", err, out)
	}
	n.agentDo("a", "mesh", "down", "--wait", "--timeout", "10s")
	ab, bc := n.talk("a", "b"), n.talk("b", "c")
	stop := n.watch()
	defer stop()

	// Both.
	n.mustTool("node-type", "set", "vnode", "--tunnel", "both")
	n.mustTool("update", "new", "mesh", "--in", n.dir, "--number", "001", "--node-types", "vnode", "--on-interrupt", "retry")
	path := filepath.Join(n.dir, "001-mesh.sh")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	fmt.Fprint(f, "fernwerk-agent mesh up --wait --timeout 1m || exit 1\n")
	must(t, f.Close())
	n.mustTool("update", "lint", path)
	n.mustTool("update", "sign", path)
	n.mustTool("trust", "publish")
	n.mustTool("update", "publish", "001", "--ring", "100%", "--yes")
	for node := range n.ids {
		took := n.until(60*time.Second, "the update is done at "+node, func() bool {
			out, _ := n.agent(t.Context(), node, "updates", "list").CombinedOutput()
			return strings.Contains(string(out), "done")
		})
		t.Logf("%s is in the mesh after %v", node, took)
	}
	n.ways("both", "fwmesh")
	n.sameName("both")
	for _, f := range []*flow{ab, bc} {
		if gap := n.pause(f, "from OpenVPN to both"); gap > 5*time.Second {
			t.Errorf("silent for %v", gap)
		}
	}
	if list := n.mustTool("tunnel", "list"); strings.Count(list, "vpns") != 3 || strings.Count(list, " mesh ") != 3 {
		t.Errorf("who is in which tunnel: %s", list)
	}
	show := ""
	n.until(30*time.Second, "the server shows how a reaches b", func() bool { // with a's next question
		show = n.mustTool("tunnel", "show", n.ids["a"])
		return strings.Contains(show, "through the server") && strings.Contains(show, n.ids["b"]) && (strings.Contains(show, " direct ") || strings.Contains(show, " relayed "))
	})
	t.Logf("at the server:\n%s", show)
	status, serr := n.agent(t.Context(), "a", "tunnel", "status").CombinedOutput()
	if serr != nil || !strings.Contains(string(status), "vpns: up, "+n.address["a"]+" at tun0, through the server") || !strings.Contains(string(status), "mesh: up, "+n.address["a"]+" at fwmesh, ") || !strings.Contains(string(status), n.ids["b"]) {
		t.Errorf("tunnel status of a: %v %s", serr, status)
	}
	t.Logf("at a:\n%s", status)
	laidOut(t, "Server", filepath.Join(n.dir, "d"))
	laidOut(t, "Agent", n.data("a"))

	// The mesh's process of a dies with its agent: what it led goes by OpenVPN.
	n.kills("a")
	n.until(10*time.Second, "a falls back", func() bool { return n.way("a", n.address["b"]) == "tun0" && n.pings("a", n.address["b"]) })
	took := n.until(30*time.Second, "b falls back", func() bool { return n.way("b", n.address["a"]) == "tun0" && n.pings("b", n.address["a"]) })
	t.Logf("without the mesh at a, b reaches it by OpenVPN after %v", took)
	if gap := n.pause(ab, "the mesh is killed"); gap > 15*time.Second {
		t.Errorf("silent for %v", gap)
	}
	n.sameName("without the mesh at a")
	if n.way("b", n.address["c"]) != "fwmesh" {
		t.Error("b and c left the mesh as well")
	}
	n.start("a")
	n.ways("both, again", "fwmesh")
	n.pause(ab, "a is back in the mesh")

	// A node leaves the mesh by itself, and comes back.
	n.agentDo("a", "mesh", "down", "--wait", "--timeout", "20s")
	took = n.until(30*time.Second, "a and b talk by OpenVPN", func() bool {
		return n.way("a", n.address["b"]) == "tun0" && n.way("b", n.address["a"]) == "tun0" && n.pings("a", n.address["b"])
	})
	t.Logf("a and b talk by OpenVPN after %v", took)
	n.pause(ab, "a leaves the mesh")
	n.agentDo("a", "mesh", "up", "--wait", "--timeout", "30s")
	n.ways("both, once more", "fwmesh")
	n.pause(ab, "a enters the mesh")

	// The mesh alone: those in OpenVPN are put out, and get no credentials.
	n.mustTool("node-type", "set", "vnode", "--tunnel", "mesh", "--yes")
	took = n.until(40*time.Second, "OpenVPN is empty", func() bool { return !strings.Contains(n.mustTool("tunnel", "list"), "vpns") })
	t.Logf("OpenVPN is empty after %v", took)
	n.ways("mesh", "fwmesh")
	n.sameName("mesh")
	for _, f := range []*flow{ab, bc} {
		if gap := n.pause(f, "from both to the mesh"); gap > 5*time.Second {
			t.Errorf("silent for %v", gap)
		}
	}
	out, err := n.agent(t.Context(), "b", "tunnel", "up", "vpns").CombinedOutput()
	fetch, ferr := n.agent(t.Context(), "b", "tunnel", "credentials", "vpns", "--dir", filepath.Join(n.dir, "credentials"), "--force").CombinedOutput()
	if ferr == nil || !strings.Contains(string(fetch), "--tunnel both") {
		t.Errorf("credentials of OpenVPN for a type without: %v %s; up: %v %s", ferr, fetch, err, out)
	}
	stop()
	asked, err := os.ReadFile(filepath.Join(n.dir, "asked"))
	must(t, err)
	if !strings.Contains(string(asked), `"up":true`) || strings.Contains(string(asked), `"up":false`) {
		t.Errorf("the scheduler heard of a node that is down: %s", asked)
	}
	for _, id := range n.ids {
		if history := n.mustTool("host", "history", id); strings.Contains(history, "down") {
			t.Errorf("%s was down: %s", id, history)
		}
	}
}

// kills ends a node's agent and its mesh as a power cut does; its openvpn goes on.
func (n *sideNet) kills(node string) {
	n.t.Helper()
	pid := n.meshOf(node)
	out, err := exec.Command("pgrep", "-f", "fernwerk-agent run --control 127.0.0.1:0 --data "+n.data(node)+"$").Output()
	must(n.t, err)
	var agent int
	fmt.Sscan(string(out), &agent)
	must(n.t, syscall.Kill(agent, syscall.SIGKILL))
	n.until(5*time.Second, "the agent is gone", func() bool { return syscall.Kill(agent, 0) != nil || zombie(agent) })
	must(n.t, syscall.Kill(pid, syscall.SIGKILL))
}

func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

// Who is in OpenVPN alone and who is in the mesh alone reach each other through the
// hub, which forwards.
func TestSide_ThroughTheHub(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	n := newSideNet(t, "a", "b")
	n.in("hub", "sysctl", "-qw", "net.ipv4.ip_forward=1")
	n.mustTool("node-type", "set", "vnode", "--tunnel", "both")
	n.enters("a", plain...)
	n.opens("a")
	n.enters("b", plain...)
	n.known("b", strings.Fields(n.agentDo("b", "mesh", "up", "--wait", "--timeout", "30s"))[4])
	if n.way("a", n.address["b"]) != "tun0" || n.way("b", n.address["a"]) != "fwmesh" {
		t.Errorf("a goes by %s, b by %s", n.way("a", n.address["b"]), n.way("b", n.address["a"]))
	}
	t.Logf("a reaches b after %v", n.until(20*time.Second, "a reaches b", func() bool { return n.pings("a", n.address["b"]) }))
	t.Logf("b reaches a after %v", n.until(20*time.Second, "b reaches a", func() bool { return n.pings("b", n.address["a"]) }))
	n.sameName("one each")
	n.pause(n.talk("a", "b"), "through the hub")

	// Whoever would be cut is asked about, and nobody else.
	for uses, cut := range map[string]string{"mesh": n.ids["a"], "openvpn": n.ids["b"]} {
		out, err := n.tool("node-type", "set", "vnode", "--tunnel", uses)
		if err == nil || !strings.Contains(err.Error(), "put out 1 nodes") || !strings.Contains(err.Error(), cut) || !strings.Contains(err.Error(), "set --tunnel both") {
			t.Errorf("--tunnel %s: %v %s", uses, err, out)
		}
		if out := n.mustTool("node-type", "set", "vnode", "--tunnel", uses, "--dry-run"); !strings.Contains(out, cut) {
			t.Errorf("--tunnel %s --dry-run: %s", uses, out)
		}
	}
}
