package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/require/oar"
)

// newcomers are machines that are given a token, and what they enter: a hub with
// fernwerkd and the real openvpn and OAR. The hub is OAR's own network namespace, and
// OAR finds nodes by the names that fernwerkd answers for.
type newcomers struct {
	*tunnelNet
	*story
	oar    *oar.Server
	agents map[string]*exec.Cmd
	ids    map[string]string // host ids of nodes
	names  map[string]string // in the zone
	at     map[string]string // addresses in the tunnel
	token  string
}

const vpnAddress = "10.134.0.1" // the hub's, in the tunnel

// newNewcomers makes the networks and a hub that is not served yet. A node whose tunnel
// ends counts as up for grace seconds more.
func newNewcomers(t *testing.T, title string, grace int, nodes ...string) *newcomers {
	t.Helper()
	require.Tool(t, "dig")
	require.Tool(t, "hostname")
	programs(t) // built before time is taken
	told := tell(t, title)
	real := require.OAR(t)
	t.Cleanup(func() {
		if text, _ := os.ReadFile(real.Log); t.Failed() {
			t.Logf("OAR's log ends with\n%s", text[max(0, len(text)-8000):])
		}
	})
	_, pid, _ := strings.Cut(real.Prefix[1], "=")
	n := &newcomers{tunnelNet: newTunnelNetAt(t, pid, nodes...), story: told, oar: real,
		agents: map[string]*exec.Cmd{}, ids: map[string]string{}, names: map[string]string{}, at: map[string]string{}}
	n.hosts = n.file("hosts", "127.0.0.1 localhost\n")
	for _, lan := range n.lans {
		n.file("hosts", fmt.Sprintf("%s line-%s.isp.test\n", n.outside(lan), lan))
	}
	for _, node := range nodes {
		n.found(node)
	}
	n.grace = grace
	n.configure(fmt.Sprintf(`
[mesh]
enabled = true
at = [%q]
refresh = 5
no_interface = true # the hub is where neighbours meet, OAR goes through the tunnel

[enrolment]
domain = "grid.test"

[dns]
zone = "grid.test"
listen = ":53"

[scheduler]
use = ["oar"]
oar.prefix = ["%s"]
oar.limit = 30
`, hubAddress, strings.Join(append(slices.Clone(real.Prefix), "env", "BY=fernwerkd"), `", "`)))
	n.witness("oarnodesetting", "oarproperty", "oarremoveresource")

	// OAR of a hub: nodes report the end of jobs to its address in the tunnel.
	settings := filepath.Join(real.Dir, "etc", "oar.conf")
	text, err := os.ReadFile(settings)
	must(t, err)
	text = []byte(strings.ReplaceAll("\n"+string(text), "\nSERVER_HOSTNAME=", "\n# SERVER_HOSTNAME="))
	must(t, os.WriteFile(settings, fmt.Appendf(text, "SERVER_HOSTNAME=%q\n", vpnAddress), 0o600))
	n.beside("mount", "--bind", n.file("resolv", "nameserver "+vpnAddress+"\noptions timeout:1\n"), "/etc/resolv.conf")
	n.step("OAR with its PostgreSQL; a hub, %d LANs behind routers that translate addresses, nodes %s", len(n.lans), strings.Join(nodes, ", "))
	return n
}

// open starts fernwerkd, which starts openvpn, and says what a node is.
func (n *newcomers) open() {
	n.t.Helper()
	n.serve()
	n.mustTool("node-type", "create", "vnode", "--range", "10.134.0.0/16", "--domain", "grid.test", "--dead-name", "remove", "--tunnel", "openvpn",
		"--dns-server", vpnAddress, "--search", "grid.test", "--scheduler", "oar", "--resources", "node", "--property", "besteffort=YES")
	n.until(10*time.Second, "the tunnel is served", func() bool {
		return n.enter(n.t.Context(), "hub", "ip", "addr", "show", "to", vpnAddress).Run() == nil && n.dig("hub", "grid.test", "SOA") != ""
	})
	must(n.t, n.oar.StopAlmighty()) // it has not read its new address
	must(n.t, n.oar.StartAlmighty())
	n.step("fernwerkd serves tunnel and names, and drives OAR")
}

// publish signs and publishes update 000, and makes a token.
func (n *newcomers) publish() {
	n.t.Helper()
	n.mustTool("trust", "init", n.trust(), "--root-keys", "1", "--threshold", "1")
	n.mustTool("update", "new", "tunnel", "--in", n.dir, "--number", "000", "--node-types", "vnode")
	file := n.file("000-tunnel.sh", "fernwerk-agent tunnel up vpns --wait --timeout 30s\n")
	n.mustTool("update", "sign", file)
	n.mustTool("trust", "publish", n.trust())
	n.mustTool("update", "publish", "000", "--ring", "100%", "--yes")
	n.step("update 000, which enters the tunnel, is signed and published")
	token := strings.Fields(n.mustTool("token", "create", "--node-type", "vnode", "--uses", "20", "--ttl", "1h"))
	n.token = token[len(token)-1]
}

// joins has a machine join by the token.
func (n *newcomers) joins(node string) {
	n.t.Helper()
	n.sshd(node)
	_, id, _ := strings.Cut(n.agentDo(node, "join", n.token), " as ")
	n.ids[node] = strings.Fields(id)[0]
	n.file(filepath.Join(node, "agent.conf"), "[updates]\ninterval = 1\nspread = 0\n")
}

// arrives starts the agent of a machine that has joined, and waits until the machine is
// in the tunnel, has a name, and is Alive. It says how long the last two took together.
func (n *newcomers) arrives(node string) (alive time.Duration) {
	n.t.Helper()
	n.agents[node] = n.start(node)
	n.until(time.Minute, node+" is in the tunnel", func() bool { return n.status(node).State == "up" })
	up := time.Now()
	n.at[node] = n.status(node).Address
	octets := strings.Split(n.at[node], ".")
	n.names[node] = fmt.Sprintf("vnode-%s-%s.grid.test", octets[2], octets[3])
	n.step("%s is %s: agent, update 000, in the tunnel at %s", node, n.ids[node], n.at[node])
	n.until(15*time.Second, "dig finds "+n.names[node], func() bool { return n.dig(node, n.names[node]) == n.at[node] })
	named := time.Since(up)
	n.is(n.names[node], "Alive")
	alive = time.Since(up)
	n.step("  with the tunnel up, its name answers after %.1f s, OAR says Alive after %.1f s", named.Seconds(), alive.Seconds())
	return alive
}

// again ends a node's agent and starts another one, with more in its configuration.
func (n *newcomers) again(node, more string) {
	n.t.Helper()
	n.agents[node].Process.Kill()
	n.agents[node].Wait()
	n.file(filepath.Join(node, "agent.conf"), more)
	n.agents[node] = n.start(node)
}

// beside runs a program beside OAR.
func (n *newcomers) beside(argv ...string) string {
	n.t.Helper()
	out, err := n.oar.Run(argv...)
	must(n.t, err)
	return out
}

// sshd is what OAR starts jobs by, on a node: in the node's network, under its name,
// with OAR's files.
func (n *newcomers) sshd(node string) {
	n.t.Helper()
	argv := append([]string{}, n.oar.Prefix[1:]...)
	i := slices.Index(argv, "--net")
	argv[i] = "--net=/run/netns/" + n.id + node
	argv = append(argv, "unshare", "-u", "sh", "-c", `hostname "$0" && exec /usr/sbin/sshd -f /etc/oar/sshd_config -o PidFile=none -E "$1"`,
		"box-"+node, filepath.Join(n.oar.Dir, "log", "sshd-"+node))
	n.run(append([]string{"nsenter"}, argv...)...)
}
