package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/require/oar"
)

// newcomers are machines that are given a token, and what they enter: a hub with
// fernwerkd and the real openvpn and OAR. The hub is OAR's own network namespace, and
// OAR finds nodes by the names that fernwerkd answers for.
type newcomers struct {
	*tunnelNet
	oar   *oar.Server
	began time.Time // of the step
}

const (
	vpnAddress = "10.134.0.1"                      // the hub's, in the tunnel
	phrase     = "words that nobody puts together" // of the keys that sign
)

func newNewcomers(t *testing.T, nodes ...string) *newcomers {
	t.Helper()
	require.Tool(t, "dig")
	require.Tool(t, "hostname")
	began := time.Now()
	real := require.OAR(t)
	_, pid, _ := strings.Cut(real.Prefix[1], "=")
	n := &newcomers{newTunnelNetAt(t, pid, nodes...), real, began}
	t.Setenv("FERNWERK_TRUST_PASSPHRASE", phrase)
	t.Setenv("FERNWERK_TRUST", filepath.Join(n.dir, "trust"))
	n.hosts = n.file("hosts", "127.0.0.1 localhost\n")
	for i, node := range nodes {
		n.file("hosts", fmt.Sprintf("203.0.113.%d line-%s.isp.test\n", 10+i, node))
		must(t, os.Mkdir(n.programs(node), 0o755))
		n.file(filepath.Join(node+".bin", "fernwerk-agent"), fmt.Sprintf("#!/bin/sh\nexec %s \"$@\" --data %s\n", n.p.Path("fernwerk-agent"), n.data(node)))
	}
	must(t, os.WriteFile(n.conf, fmt.Appendf(nil, `tunnel_grace = 2

[[tunnel]]
name = "vpns"
remote = %q
serve = true
device = "tun0"
keepalive = [1, 4]

[enrolment]
domain = "grid.test"

[dns]
zone = "grid.test"
listen = ":53"

[scheduler]
use = ["oar"]
oar.prefix = ["%s"]
oar.limit = 30
`, hubAddress, strings.Join(append(slices.Clone(real.Prefix), "env", "BY=fernwerkd"), `", "`)), 0o600))
	n.witness("oarnodesetting", "oarproperty", "oarremoveresource")

	// OAR of a hub: nodes report the end of jobs to its address in the tunnel.
	settings := filepath.Join(real.Dir, "etc", "oar.conf")
	text, err := os.ReadFile(settings)
	must(t, err)
	text = []byte(strings.ReplaceAll("\n"+string(text), "\nSERVER_HOSTNAME=", "\n# SERVER_HOSTNAME="))
	must(t, os.WriteFile(settings, fmt.Appendf(text, "SERVER_HOSTNAME=%q\n", vpnAddress), 0o600))
	n.beside("mount", "--bind", n.file("resolv", "nameserver "+vpnAddress+"\noptions timeout:1\n"), "/etc/resolv.conf")
	return n
}

// file adds to a file of the test that all may read.
func (n *newcomers) file(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o755)
	must(n.t, err)
	_, err = f.WriteString(text)
	must(n.t, err)
	must(n.t, f.Close())
	return path
}

// beside runs a program beside OAR.
func (n *newcomers) beside(argv ...string) string {
	n.t.Helper()
	out, err := n.oar.Run(argv...)
	must(n.t, err)
	return out
}

// witness has OAR's tools note who calls them. It is in OAR's namespaces only.
func (n *newcomers) witness(tools ...string) {
	n.t.Helper()
	n.beside(append([]string{"sh", "-ec", `cd "$0"; mkdir calls; for tool; do
	cp /dev/null "calls/$tool"; mount --bind "/usr/sbin/$tool" "calls/$tool"
	printf '#!/bin/sh\necho "${BY-somebody}: %s $*" >>%s/calls/log\nexec %s/calls/%s "$@"\n' "$tool" "$PWD" "$PWD" "$tool" >"calls/by-$tool"
	chmod 755 "calls/by-$tool"; mount --bind "calls/by-$tool" "/usr/sbin/$tool"
done; cp /dev/null calls/log; chmod 666 calls/log`, n.oar.Dir}, tools...)...)
}

// callers are who called tools that change OAR, and how often.
func (n *newcomers) callers() map[string]int {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.oar.Dir, "calls", "log"))
	must(n.t, err)
	all := map[string]int{}
	for line := range strings.Lines(string(text)) {
		who, call, _ := strings.Cut(line, ": ")
		if all[who]++; who != "fernwerkd" {
			n.t.Logf("%s called %s", who, call)
		}
	}
	return all
}

// step prints how long it took since the last one.
func (n *newcomers) step(format string, args ...any) {
	n.t.Helper()
	n.t.Logf("%6.1f s  %s", time.Since(n.began).Seconds(), fmt.Sprintf(format, args...))
	n.began = time.Now()
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

// properties are what OAR says of a node.
func (n *newcomers) properties(name string) (state string, all map[string]string) {
	out, _ := n.oar.Run("oarnodes", name)
	_, state, _ = strings.Cut(out, "state : ")
	state, _, _ = strings.Cut(state, "\n")
	_, line, _ := strings.Cut(out, "properties : ")
	all = map[string]string{}
	for property := range strings.SplitSeq(strings.TrimSpace(line), ", ") {
		key, value, _ := strings.Cut(property, "=")
		all[key] = value
	}
	return state, all
}

// is waits until OAR says a state of a node, and how long that took.
func (n *newcomers) is(name, want string) time.Duration {
	n.t.Helper()
	return n.until(time.Minute, name+" is "+want, func() bool {
		state, _ := n.properties(name)
		return state == want
	})
}

// dig asks the hub's server of names, from a node through its tunnel or in the hub.
func (n *newcomers) dig(from string, args ...string) string {
	out, _ := n.enter(n.t.Context(), from, append([]string{"dig", "+short", "+time=1", "+tries=1", "@" + vpnAddress}, args...)...).Output()
	return strings.TrimSpace(string(out))
}

// submit gives OAR a job for a node.
func (n *newcomers) submit(name, script string) (id string) {
	n.t.Helper()
	id, err := n.oar.Submit("-l", "/resource_id=1,walltime=0:02:00", "-p", "network_address = '"+name+"'", script)
	must(n.t, err)
	return id
}

// output is what a job wrote until it ended well.
func (n *newcomers) output(id string) string {
	n.t.Helper()
	n.until(2*time.Minute, "job "+id+" ends", func() bool {
		out, _ := n.oar.Run("oarstat", "-s", "-j", id)
		if strings.Contains(out, "Error") {
			detail, _ := n.oar.Run("oarstat", "-f", "-j", id)
			n.t.Fatalf("the job failed: %s", detail)
		}
		return strings.Contains(out, "Terminated")
	})
	out, err := os.ReadFile(filepath.Join(n.oar.Dir, "job", "OAR."+id+".stdout"))
	must(n.t, err)
	return string(out)
}

// states are those that a node had in OAR one after another, and how many of them
// OAR itself decided about.
func (n *newcomers) states(name string) (all []string, own int) {
	n.t.Helper()
	u, err := url.Parse(n.oar.Database.URL)
	must(n.t, err)
	u.Path = "/oar"
	conn, err := pgx.Connect(n.t.Context(), u.String())
	must(n.t, err)
	defer conn.Close(n.t.Context())
	rows, err := conn.Query(n.t.Context(), `select l.value, l.finaud_decision from resource_logs l join resources r using (resource_id)
		where l.attribute = 'state' and r.network_address = $1 order by l.resource_log_id`, name)
	must(n.t, err)
	for rows.Next() {
		var state, decision string
		must(n.t, rows.Scan(&state, &decision))
		all = append(all, state)
		if decision == "YES" {
			own++
		}
	}
	must(n.t, rows.Err())
	return all, own
}

// TestNewcomer is the way of a machine that was just given a token: it joins, runs the
// signed update 000, which has it enter the tunnel, is found by its name, and takes
// jobs of OAR, which run on it; unplugged it takes none, and plugged in again it does.
// Nobody but fernwerkd tells OAR about nodes.
func TestNewcomer(t *testing.T) {
	nodes := []string{"a", "b"}
	n := newNewcomers(t, nodes...)
	n.step("OAR, networks")
	n.serve()
	n.mustTool("rpc", "nodeType_createObjects", `{"type":"NodeType","id":"vnode","addressRange":"10.134.0.0/16","domain":"grid.test","deadName":"remove","tunnel":"openvpn",`+
		`"dnsServers":["`+vpnAddress+`"],"searchDomain":"grid.test","scheduler":"oar","resources":"node","properties":["besteffort=YES"]}`)
	n.until(10*time.Second, "the tunnel is served", func() bool {
		return n.enter(t.Context(), "hub", "ip", "addr", "show", "to", vpnAddress).Run() == nil && n.dig("hub", "grid.test", "SOA") != ""
	})
	must(t, n.oar.StopAlmighty()) // it has not read its new address
	must(t, n.oar.StartAlmighty())
	n.step("fernwerkd with tunnel, names and OAR")

	trust := os.Getenv("FERNWERK_TRUST")
	n.mustTool("trust", "init", trust, "--root-keys", "1", "--threshold", "1")
	n.mustTool("update", "new", "tunnel", "--in", n.dir, "--number", "000", "--node-types", "vnode")
	file := n.file("000-tunnel.sh", "fernwerk-agent tunnel up vpns --wait --timeout 30s\n")
	n.mustTool("update", "sign", file)
	n.mustTool("trust", "publish", trust)
	n.mustTool("update", "publish", "000", "--ring", "100%", "--yes")
	n.step("update 000 is signed and published")

	token := strings.Fields(n.mustTool("token", "create", "--node-type", "vnode", "--uses", "2", "--ttl", "1h"))
	ids, names, addresses := map[string]string{}, map[string]string{}, map[string]string{}
	for _, node := range nodes {
		n.sshd(node)
		_, id, _ := strings.Cut(n.agentDo(node, "join", token[len(token)-1]), " as ")
		ids[node] = strings.Fields(id)[0]
		n.file(filepath.Join(node, "agent.conf"), "[updates]\ninterval = 1\nspread = 0\n")
	}
	n.step("token, join: %v", ids)
	for _, node := range nodes {
		n.began = time.Now()
		n.start(node)
		n.until(time.Minute, node+" is in the tunnel", func() bool { return n.status(node).State == "up" })
		up := time.Now()
		addresses[node] = n.status(node).Address
		octets := strings.Split(addresses[node], ".")
		names[node] = fmt.Sprintf("vnode-%s-%s.grid.test", octets[2], octets[3])
		n.step("%s: agent, update 000, in the tunnel at %s", node, addresses[node])
		n.until(15*time.Second, "dig finds "+names[node], func() bool { return n.dig(node, names[node]) == addresses[node] })
		named := time.Since(up)
		n.is(names[node], "Alive")
		alive := time.Since(up)
		n.step("%s: dig answers %.1f s, OAR says Alive %.1f s after the tunnel is up", node, named.Seconds(), alive.Seconds())
		if alive > 15*time.Second {
			t.Errorf("Alive took %v", alive)
		}
		n.until(10*time.Second, "the server knows that the update is done", func() bool { return strings.Contains(n.mustTool("update", "status", "000", ids[node]), "done") })
		if got := n.dig(node, "-x", addresses[node]); got != names[node]+"." {
			t.Errorf("the name of %s is %q", addresses[node], got)
		}
		if got := n.dig("hub", ids[node]); !strings.Contains(got, addresses[node]) {
			t.Errorf("the host's own name leads to %q", got)
		}
	}
	n.began = time.Now()
	for i, node := range nodes {
		var is map[string]string
		n.until(30*time.Second, "the client's name was looked up", func() bool {
			_, is = n.properties(names[node])
			return is["idhalclientname"] != ""
		})
		for key, want := range map[string]string{"ip": addresses[node], "idhaltype": "vnode", "cluster": "vnode", "idhalcn": ids[node], "network_address": names[node], "besteffort": "YES",
			"idhalclientip": fmt.Sprintf("203.0.113.%d", 10+i), "idhalclientname": fmt.Sprintf("line-%s.isp.test", node)} {
			if is[key] != want {
				t.Errorf("%s: %s is %q, want %q", node, key, is[key], want)
			}
		}
		if since, err := time.Parse("Mon Jan _2 15:04:05 MST 2006", is["idhalconnectedsince"]); err != nil || time.Since(since) > time.Hour {
			t.Errorf("%s: connected since %q, %v", node, is["idhalconnectedsince"], err)
		}
	}
	n.step("all properties")

	ran := func(nodes ...string) {
		t.Helper()
		jobs := map[string]string{}
		for _, node := range nodes {
			jobs[node] = n.submit(names[node], `hostname; ip -4 -o addr show dev tun0; cat $OAR_NODEFILE`)
		}
		for _, node := range nodes {
			out := n.output(jobs[node])
			n.step("a job ran on %s: %q", node, out)
			for _, want := range []string{"box-" + node + "\n", " " + addresses[node] + "/", names[node] + "\n"} {
				if !strings.Contains(out, want) {
					t.Errorf("the output of the job on %s has no %q", node, want)
				}
			}
		}
	}
	ran(nodes...)

	n.in("ra", "ip", "link", "set", "lan", "down")
	n.is(names["a"], "Absent")
	n.until(10*time.Second, "its name is gone", func() bool { return n.dig("hub", names["a"]) == "" })
	n.step("unplugged: a is Absent, and its name is gone")
	n.in("ra", "ip", "link", "set", "lan", "up")
	n.is(names["a"], "Alive")
	n.step("plugged in: a is Alive")
	if got := n.status("a").Address; got != addresses["a"] {
		t.Errorf("it had %s and has %s", addresses["a"], got)
	}
	ran("a")
	n.until(10*time.Second, "nothing differs", func() bool {
		return strings.TrimSpace(n.mustTool("resource", "diff", "--json")) == "[]"
	})
	if list := n.mustTool("tunnel", "list"); !strings.Contains(list, names["a"]) || !strings.Contains(list, names["b"]) {
		t.Errorf("who is in the tunnel: %s", list)
	}
	by := n.callers()
	t.Logf("who changed OAR by its tools: %v", by)
	if by["fernwerkd"] == 0 || len(by) != 1 {
		t.Errorf("fernwerkd is not the only one: %v", by)
	}
	for node, want := range map[string]string{"a": "Alive Absent Alive", "b": "Alive"} {
		got, own := n.states(names[node])
		t.Logf("%s in OAR: %v", node, got)
		if strings.Join(got, " ") != want || own != 0 {
			t.Errorf("OAR knew %s as %v, of which it decided %d itself; want %s", node, got, own, want)
		}
	}
}
