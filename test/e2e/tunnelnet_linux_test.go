package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/e2e/site"
	"github.com/fernwerk/fernwerk/test/require"
)

// tunnelNet is a hub on a wide network, and nodes on LANs behind routers that translate
// addresses. The first letter of a node's name is its LAN: a1 and a2 are neighbours. All
// LANs are 192.168.1.0/24, as at sites that know nothing of each other. All of it is in
// network namespaces.
type tunnelNet struct {
	t    *testing.T
	p    site.Programs
	dir  string // short, for sockets
	id   string
	conf string
	hub  *exec.Cmd // fernwerkd
	// A node whose tunnel ends counts as up for grace seconds more.
	grace int
	lans  []string
	on    map[string]int // nodes on each LAN
	// hosts is what fernwerkd sees as /etc/hosts; "" is the machine's.
	hosts string
	// own are folders, such as /etc/slurm, that each node has its own of.
	own []string
}

const hubAddress = "203.0.113.1"

// newTunnelNet makes the networks and a server with the tunnel vpns.
func newTunnelNet(t *testing.T, nodes ...string) *tunnelNet {
	t.Helper()
	return newTunnelNetAt(t, "", nodes...)
}

// newTunnelNetAt has the hub in the network namespace of a process, which has one.
func newTunnelNetAt(t *testing.T, pid string, nodes ...string) *tunnelNet {
	t.Helper()
	require.Root(t)
	for _, tool := range []string{"openvpn", "ip", "nft", "nsenter", "unshare", "ping"} {
		require.Tool(t, tool)
	}
	dir, err := os.MkdirTemp("/tmp", "fwt")
	must(t, err)
	n := &tunnelNet{t: t, p: programs(t), dir: dir, id: filepath.Base(dir), on: map[string]int{}, grace: 2}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if pid == "" {
		n.space("hub")
	} else {
		n.run("ip", "netns", "attach", n.id+"hub", pid)
		n.ends("hub")
	}
	n.in("hub", "ip", "link", "add", "wan", "type", "bridge")
	n.in("hub", "ip", "addr", "add", hubAddress+"/24", "dev", "wan")
	n.in("hub", "ip", "link", "set", "wan", "up")
	for _, node := range nodes {
		n.plant(node)
	}
	n.conf = filepath.Join(dir, "fernwerkd.toml")
	n.configure("")
	return n
}

// configure writes the server's configuration: the tunnel, and more.
func (n *tunnelNet) configure(more string) {
	must(n.t, os.WriteFile(n.conf, fmt.Appendf(nil, `tunnel_grace = %d

[[tunnel]]
name = "vpns"
remote = %q
serve = true
device = "tun0"
keepalive = [1, 4]
%s`, n.grace, hubAddress, more), 0o600))
}

func (n *tunnelNet) run(argv ...string) string {
	n.t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%v: %v %s", argv, err, out)
	}
	return string(out)
}

// enter is a command in a namespace, which hides no cgroups as ip netns exec does.
func (n *tunnelNet) enter(ctx context.Context, space string, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=/run/netns/" + n.id + space}, argv...)...)
}

func (n *tunnelNet) in(space string, argv ...string) string {
	n.t.Helper()
	out, err := n.enter(n.t.Context(), space, argv...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %v: %v %s", space, argv, err, out)
	}
	return string(out)
}

// background starts a program that is killed at the end of the test; what it writes
// goes to a file.
func (n *tunnelNet) background(cmd *exec.Cmd, log string) {
	n.t.Helper()
	f, err := os.OpenFile(filepath.Join(n.dir, log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(n.t, err)
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	must(n.t, cmd.Start())
	n.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if text, _ := os.ReadFile(filepath.Join(n.dir, log)); n.t.Failed() {
			lines := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(line string) bool { return strings.Contains(line, "msg=Request ") })
			n.t.Logf("%s:\n%s", log, strings.Join(lines, ""))
		}
	})
}

// serve starts fernwerkd, and waits until it answers.
func (n *tunnelNet) serve() {
	n.t.Helper()
	argv := []string{n.p.Path("fernwerkd"), "serve", "--data", filepath.Join(n.dir, "d"), "--listen", hubAddress + ":4447", "--config", n.conf}
	if n.hosts != "" {
		argv = append([]string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, n.hosts}, argv...)
	}
	n.hub = n.enter(n.t.Context(), "hub", argv...)
	n.hub.Env = append(os.Environ(), "FERNWERK_ADMIN_PASSWORD="+site.Password)
	n.background(n.hub, "fernwerkd.log")
	n.until(30*time.Second, "the server answers", func() bool { return n.fernwerk("status") == nil })
}

func (n *tunnelNet) stop() {
	n.t.Helper()
	must(n.t, n.hub.Process.Signal(syscall.SIGTERM))
	n.hub.Wait()
}

// fernwerk runs the administrator's command line in the hub.
func (n *tunnelNet) fernwerk(args ...string) error {
	_, err := n.tool(args...)
	return err
}

func (n *tunnelNet) tool(args ...string) (string, error) {
	cmd := n.enter(n.t.Context(), "hub", append([]string{n.p.Path("fernwerk")}, args...)...)
	cmd.Env = append(os.Environ(), "FERNWERK_SERVER=https://"+hubAddress+":4447", "FERNWERK_USER=admin", "FERNWERK_PASSWORD="+site.Password, "FERNWERK_CA="+filepath.Join(n.dir, "d", "ca", "ca.pem"),
		"FERNWERK_TRUST_PASSPHRASE="+phrase, "FERNWERK_TRUST="+n.trust())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("fernwerk %v: %w: %s", args, err, errOut.String())
	}
	return out.String(), nil
}

func (n *tunnelNet) mustTool(args ...string) string {
	n.t.Helper()
	out, err := n.tool(args...)
	must(n.t, err)
	return out
}

// nodeType makes the seed's vnode.
func (n *tunnelNet) nodeType() {
	n.t.Helper()
	n.mustTool("rpc", "nodeType_createObjects", `{"type":"NodeType","id":"vnode","addressRange":"10.134.0.0/16","domain":"grid.test","tunnel":"openvpn","routes":["129.88.70.0/26"],"dnsServers":["10.134.0.1"],"searchDomain":"grid.test"}`)
}

// agent is a fernwerk-agent in a node's namespaces, with a name and a resolv.conf of
// its own. Where the node has a folder of programs, they are found there first.
func (n *tunnelNet) agent(ctx context.Context, node string, args ...string) *exec.Cmd {
	args = append([]string{n.p.Path("fernwerk-agent")}, args...)
	return n.inside(ctx, node, append(args, "--data", n.data(node))...)
}

// inside is a program in a node's namespaces.
func (n *tunnelNet) inside(ctx context.Context, node string, argv ...string) *exec.Cmd {
	resolv := filepath.Join(n.dir, node+".resolv")
	if _, err := os.Stat(resolv); err != nil {
		must(n.t, os.WriteFile(resolv, []byte("nameserver 192.168.1.1\n"), 0o644))
	}
	script := `hostname "$0" && mount --bind "$1" /etc/resolv.conf && shift && `
	for _, folder := range n.own {
		must(n.t, os.MkdirAll(n.root(node, folder), 0o755))
		script += `mount --bind "` + n.root(node, folder) + `" ` + folder + ` && `
	}
	cmd := n.enter(ctx, node, append([]string{"unshare", "-m", "-u", "sh", "-c", script + `exec "$@"`, "box-" + node, resolv}, argv...)...)
	cmd.Env = append(os.Environ(), "PATH="+n.programs(node)+":"+os.Getenv("PATH"))
	return cmd
}

// root is where a folder or file of a node's own really is.
func (n *tunnelNet) root(node, path string) string {
	return filepath.Join(n.dir, node+".root", path)
}

// programs is a folder of a node for what its scripts find by name.
func (n *tunnelNet) programs(node string) string { return filepath.Join(n.dir, node+".bin") }

// found has a node's scripts find fernwerk-agent by name, with its data.
func (n *tunnelNet) found(node string) {
	n.t.Helper()
	n.file(filepath.Join(node+".bin", "fernwerk-agent"), fmt.Sprintf("#!/bin/sh\nexec %s \"$@\" --data %s\n", n.p.Path("fernwerk-agent"), n.data(node)))
}

// file adds to a file of the test that all may read and execute.
func (n *tunnelNet) file(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	must(n.t, os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o755)
	must(n.t, err)
	_, err = f.WriteString(text)
	must(n.t, err)
	must(n.t, f.Close())
	return path
}

// phrase is that of the keys that sign, which are in the folder trust.
const phrase = "words that nobody puts together"

func (n *tunnelNet) trust() string { return filepath.Join(n.dir, "trust") }

func (n *tunnelNet) data(node string) string { return filepath.Join(n.dir, node) }

func (n *tunnelNet) resolv(node string) string {
	text, _ := os.ReadFile(filepath.Join(n.dir, node+".resolv"))
	return string(text)
}

func (n *tunnelNet) agentDo(node string, args ...string) string {
	n.t.Helper()
	out, err := n.agent(n.t.Context(), node, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: fernwerk-agent %v: %v %s", node, args, err, out)
	}
	return string(out)
}

// plain has a node install what the server says, in networks without a root of trust.
var plain = []string{"--policy", "plain-opsi"}

// join makes a node a host of the server by a new token, made with further arguments,
// and returns its id.
func (n *tunnelNet) join(node string, args ...string) string {
	n.t.Helper()
	token := strings.Fields(n.mustTool(append([]string{"token", "create", "--node-type", "vnode", "--uses", "1", "--ttl", "1h"}, args...)...))
	out := n.agentDo(node, "join", token[len(token)-1])
	_, id, _ := strings.Cut(out, " as ")
	return strings.Fields(id)[0]
}

// start runs a node's agent.
func (n *tunnelNet) start(node string) *exec.Cmd {
	n.t.Helper()
	cmd := n.agent(n.t.Context(), node, "run", "--control", "127.0.0.1:0")
	n.background(cmd, node+".log")
	return cmd
}

// started starts a node's agent, and waits until it is there: while it starts it clears its
// folder, in which nobody is to write then.
func (n *tunnelNet) started(node string) {
	n.t.Helper()
	n.start(node)
	n.until(20*time.Second, "the agent of "+node+" runs", func() bool {
		log, _ := os.ReadFile(filepath.Join(n.dir, node+".log"))
		return strings.Contains(string(log), "ready ")
	})
}

type tunnelStatus struct{ State, Address, Problem string }

func (n *tunnelNet) status(node string) tunnelStatus {
	n.t.Helper()
	all := map[string]tunnelStatus{}
	must(n.t, json.Unmarshal([]byte(n.agentDo(node, "tunnel", "status", "--json")), &all))
	return all["vpns"]
}

func (n *tunnelNet) pings(from, to string) bool {
	return n.enter(n.t.Context(), from, "ping", "-c", "1", "-W", "1", to).Run() == nil
}

// until waits for a condition, and says how long that took.
func (n *tunnelNet) until(within time.Duration, what string, ok func() bool) time.Duration {
	n.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > within {
			n.t.Fatalf("not within %v: %s", within, what)
		}
		<-time.After(20 * time.Millisecond)
	}
	return time.Since(began).Round(time.Millisecond)
}

// fingerprint is the SHA-256 of the server's authority.
func (n *tunnelNet) fingerprint() string {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "d", "ca", "ca.pem"))
	must(n.t, err)
	block, _ := pem.Decode(text)
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}
