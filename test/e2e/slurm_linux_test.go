package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
	"github.com/fernwerk/fernwerk/test/require/slurm"
)

// harvest is a hub with fernwerkd, the real openvpn and the real Slurm, in Slurm's own
// network namespace, and nodes behind routers, each with munge and slurmd of its own.
type harvest struct {
	*tunnelNet
	*story
	slurm *slurm.Server
}

func newHarvest(t *testing.T, nodes ...string) *harvest {
	t.Helper()
	programs(t) // built before time is taken
	told := tell(t, "Two machines that were just given a token, and a hub with Slurm")
	real := require.Slurm(t)
	_, pid, _ := strings.Cut(real.Prefix[1], "=")
	n := &harvest{newTunnelNetAt(t, pid, nodes...), told, real}
	n.own = []string{"/etc/default", "/etc/munge", "/etc/slurm", "/run", "/var/lib/munge", "/var/log/munge"}
	for _, node := range nodes {
		n.installed(node)
		n.found(node)
	}
	n.configure(fmt.Sprintf(`
[enrolment]
domain = "grid.test"

[dns]
zone = "grid.test"
listen = ":53"

[scheduler]
use = ["slurm"]
slurm.prefix = ["%s"]
slurm.limit = 30
`, strings.Join(real.Prefix, `", "`)))
	must(t, real.Configure("SlurmdPidFile=/run/slurmd.pid", "SlurmdSpoolDir=/run/spool", "SlurmdLogFile=/run/slurmd.log", "NodeSet=vnodes Feature=vnode", "PartitionName=harvest Nodes=vnodes"))
	// The hub's address is that of the tunnels, not of the bridge that nodes of other tests are on.
	n.beside("ip", "link", "del", "br0")
	return n
}

// beside runs a program beside slurmctld.
func (n *harvest) beside(argv ...string) string {
	n.t.Helper()
	out, err := n.slurm.Run(argv...)
	must(n.t, err)
	return out
}

// says is what Slurm says of a node.
func (n *harvest) says(name string) string {
	out, _ := n.slurm.Run("scontrol", "-o", "show", "node", name)
	return out
}

// is waits until Slurm says all of that of a node.
func (n *harvest) is(name string, want ...string) {
	n.t.Helper()
	said := ""
	n.t.Cleanup(func() {
		if n.t.Failed() {
			n.t.Log(said)
		}
	})
	n.until(time.Minute, fmt.Sprintf("%s is %q", name, want), func() bool {
		said = n.says(name)
		for _, w := range want {
			if !strings.Contains(said, w) {
				return false
			}
		}
		return true
	})
}

// submit gives Slurm a job for a node.
func (n *harvest) submit(name, script string) (id string) {
	n.t.Helper()
	return strings.TrimSpace(n.beside("sbatch", "--parsable", "-w", name, "-D", "/tmp", "-o", filepath.Join(n.slurm.Dir, "job-%j"), "--wrap", script))
}

// state is that of a job.
func (n *harvest) state(id string) string {
	_, state, _ := strings.Cut(n.beside("scontrol", "-o", "show", "job", id), " JobState=")
	state, _, _ = strings.Cut(state, " ")
	return state
}

// output is what a job wrote until it ended well.
func (n *harvest) output(id string) string {
	n.t.Helper()
	n.until(time.Minute, "job "+id+" ends", func() bool {
		state := n.state(id)
		if state == "FAILED" || state == "NODE_FAIL" || state == "CANCELLED" {
			n.t.Fatal(n.beside("scontrol", "show", "job", id))
		}
		return state == "COMPLETED"
	})
	out, err := os.ReadFile(filepath.Join(n.slurm.Dir, "job-"+id))
	must(n.t, err)
	return string(out)
}

// whoami is a job that says where it runs.
const whoami = `hostname; ip -4 -o addr show dev tun0; echo $SLURMD_NODENAME`

// TestSlurm is the way of a machine that was just given a token into Slurm: it gets the
// munge key and slurm.conf as files of its node type, and a job that the hub submits runs
// on it, through the tunnel. Unplugged it is down, with the reason tunnel-down, and its job
// is queued again; plugged in again it is idle and runs jobs; and a job on another node notices nothing (row 68). No
// tunnel waits for a slurmctld that hangs (row 67).
func TestSlurm(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	nodes := []string{"a", "b"}
	n := newHarvest(t, nodes...)
	n.step("Slurm, networks")
	n.serve()
	n.mustTool("rpc", "nodeType_createObjects", `{"type":"NodeType","id":"vnode","addressRange":"10.134.0.0/16","domain":"grid.test","tunnel":"openvpn","dnsServers":["`+vpnAddress+`"],"searchDomain":"grid.test","scheduler":"slurm","resources":"node","properties":["features=vnode+slow","weight=7"]}`)
	if _, err := n.tool("node-type", "set", "vnode", "--property", "gres=gpu:1"); err == nil || !strings.Contains(err.Error(), `"gres" is no property of nodes of Slurm`) {
		t.Errorf("a property that Slurm does not know: %v", err)
	}
	n.until(10*time.Second, "the tunnel is served", func() bool {
		return n.enter(t.Context(), "hub", "ip", "addr", "show", "to", vpnAddress).Run() == nil
	})
	n.step("fernwerkd with tunnel and Slurm")

	n.mustTool("trust", "init", n.trust(), "--root-keys", "1", "--threshold", "1")
	n.update("000", "tunnel", "fernwerk-agent tunnel up vpns --wait --timeout 30s\n")
	n.update("001", "slurmd", "set -e\n"+begins)
	n.give()
	n.step("updates 000 and 001, the munge key and slurm.conf are signed and published")

	ids, names, addresses := map[string]string{}, map[string]string{}, map[string]string{}
	for _, node := range nodes {
		ids[node] = n.join(node)
		n.file(filepath.Join(node, "agent.conf"), "[updates]\ninterval = 1\nspread = 0\n[files]\nrestart = "+filepath.Join(n.programs(node), "services")+" %u\n")
	}
	n.step("joined: %v", ids)
	for _, node := range nodes {
		n.start(node)
		n.until(time.Minute, node+" is in the tunnel", func() bool { return n.status(node).State == "up" })
		addresses[node] = n.status(node).Address
		octets := strings.Split(addresses[node], ".")
		names[node] = fmt.Sprintf("vnode-%s-%s.grid.test", octets[2], octets[3])
		n.step("%s: agent, update 000, in the tunnel at %s", node, addresses[node])
		n.is(names[node], " State=IDLE+DYNAMIC_NORM ", " NodeAddr="+addresses[node]+" ", ",ip="+addresses[node], "cn="+ids[node]+",type=vnode,", " AvailableFeatures=vnode,slow ", " Weight=7 ")
		n.step("%s: update 001, Slurm says IDLE", node)
	}

	ran := func(node, out string) {
		t.Helper()
		n.step("a job ran on %s: %s", node, strings.Join(strings.Fields(out), " "))
		for _, want := range []string{"box-" + node + "\n", " " + addresses[node] + "/", names[node] + "\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("the output of the job on %s has no %q", node, want)
			}
		}
	}
	for _, node := range nodes {
		ran(node, n.beside("srun", "-p", "harvest", "-C", "slow", "-w", names[node], "-D", "/tmp", "sh", "-c", whoami))
		ran(node, n.output(n.submit(names[node], whoami)))
	}

	key := n.root("a", "/etc/munge/munge.key")
	info, err := os.Stat(key)
	must(t, err)
	_, munge, _ := strings.Cut(n.run("id", "munge"), "uid=")
	if owner := fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid); info.Mode() != 0o400 || !strings.HasPrefix(munge, owner+"(") {
		t.Errorf("%s has mode %v and owner %s", key, info.Mode(), owner)
	}

	// Another slurm.conf, and another key: the nodes have them, and what runs there is started again.
	must(t, n.slurm.Configure("PartitionName=other Nodes=vnodes"))
	must(t, n.slurm.Rekey())
	n.give()
	n.step("another munge key and slurm.conf are signed and published")
	for _, node := range nodes {
		n.agentDo(node, "files", "now")
		n.until(time.Minute, node+" has the new files", func() bool {
			return n.same(node, "/etc/slurm/slurm.conf", "etc/slurm.conf") && n.same(node, "/etc/munge/munge.key", "munge/munge.key")
		})
		n.is(names[node], " State=IDLE+DYNAMIC_NORM ")
		n.step("%s has the new munge key and slurm.conf", node)
		ran(node, n.beside("srun", "-p", "other", "-w", names[node], "-D", "/tmp", "sh", "-c", whoami))
	}
	n.until(10*time.Second, "the files are in place", func() bool { return !strings.Contains(n.mustTool("node-file", "status", "--problems"), "vnode") })

	stop := filepath.Join(n.slurm.Dir, "stop")
	undisturbed := n.submit(names["b"], `until [ -e `+stop+` ]; do sleep 0.1; done; `+whoami)
	beats := filepath.Join(n.slurm.Dir, "beats")
	lost := n.submit(names["a"], `while :; do echo >>`+beats+`; sleep 0.2; done`)
	for _, id := range []string{undisturbed, lost} {
		n.until(20*time.Second, "a job runs", func() bool { return n.state(id) == "RUNNING" })
	}
	n.until(20*time.Second, "the job on a has begun", func() bool { _, err := os.Stat(beats); return err == nil })
	n.step("a job runs on each")
	n.in("ra", "ip", "link", "set", "lan", "down")
	n.is(names["a"], " State=DOWN", " Reason=tunnel-down")
	n.step("unplugged: a is DOWN, tunnel-down")
	if state := n.state(lost); state != "PENDING" {
		t.Errorf("the job on a is %s, and shall be queued again", state)
	}
	must(t, n.slurm.Restart())
	n.is(names["a"], " State=DOWN", " Reason=tunnel-down")
	n.step("slurmctld restarted: a is still DOWN, tunnel-down")
	if state := n.state(undisturbed); state != "RUNNING" {
		t.Errorf("the job on b is %s", state)
	}
	n.in("ra", "ip", "link", "set", "lan", "up")
	n.is(names["a"], " State=IDLE")
	n.step("plugged in: a is IDLE")
	n.until(30*time.Second, "what ran on a without the hub has ended", func() bool {
		before, err := os.Stat(beats)
		must(t, err)
		<-time.After(time.Second)
		after, err := os.Stat(beats)
		must(t, err)
		return after.Size() == before.Size()
	})
	n.beside("scancel", lost) // it would run again two minutes later
	n.step("a's lost job has ended there")
	must(t, os.WriteFile(stop, nil, 0o644))
	ran("b", n.output(undisturbed))
	if out := n.beside("scontrol", "-o", "show", "job", undisturbed); !strings.Contains(out, " Restarts=0 ") {
		t.Errorf("the job on b was restarted: %s", out)
	}
	ran("a", n.output(n.submit(names["a"], whoami)))
	right := func() {
		t.Helper()
		n.until(10*time.Second, "nothing differs", func() bool {
			return strings.TrimSpace(n.mustTool("resource", "diff", "--json")) == "[]"
		})
	}
	right()

	// slurmctld that answers nobody holds no tunnel.
	signal := func(name string) {
		t.Helper()
		n.beside("sh", "-c", `kill "-$0" "$(cat "$1/slurmctld.pid")"`, name, n.slurm.Dir)
	}
	signal("STOP")
	n.agentDo("a", "tunnel", "down", "vpns")
	n.until(20*time.Second, "a has no tunnel", func() bool { return n.status("a").State != "up" && !n.pings("hub", addresses["a"]) })
	n.step("slurmctld hangs: a's tunnel is down")
	n.agentDo("a", "tunnel", "up", "vpns", "--wait", "--timeout", "15s")
	if took := time.Since(n.last); took > 10*time.Second {
		t.Errorf("a tunnel waited %v for slurmctld", took)
	}
	n.step("slurmctld hangs: a's tunnel is up")
	signal("CONT")
	n.until(time.Minute, "a is up in its new session", func() bool {
		return strings.Contains(n.mustTool("resource", "list"), names["a"]) && strings.Contains(n.says(names["a"]), " State=IDLE")
	})
	right()
	n.step("slurmctld goes on: a is IDLE")
	ran("a", n.output(n.submit(names["a"], whoami)))

	n.mustTool("host", "delete", ids["b"], "--yes")
	n.until(time.Minute, "b is deleted", func() bool { return strings.Contains(n.says(names["b"]), "not found") })
	n.step("b's host is deleted: Slurm has no node of it")
	n.is(names["a"], " State=IDLE")
}

// services starts a node's services: these nodes have no systemd. As with
// try-restart, what does not run is left alone unless it says start.
const services = `#!/bin/sh
set -e
case $1 in
munge) pid=/run/munge/munged.pid;;
slurmd) pid=/run/slurmd.pid;;
esac
if [ "$2" != start ]; then
	[ -e "$pid" ] || exit 0
	old=$(cat "$pid")
	kill "$old"
	while kill -0 "$old"; do sleep 0.1; done 2>/dev/null
	rm -f "$pid"
fi
[ ! -e /etc/default/slurmd ] || . /etc/default/slurmd
case $1 in
munge) su -s /bin/sh munge -c /usr/sbin/munged;;
slurmd) eval "slurmd $SLURMD_OPTIONS";;
esac >/dev/null 2>&1 </dev/null
until [ -s "$pid" ]; do sleep 0.1; done # who called ends what is still of its process group
`

// installed makes a node one on which the packages munge and slurmd were just
// installed: they have no configuration, and do not run.
func (n *harvest) installed(node string) {
	n.t.Helper()
	n.file(filepath.Join(node+".bin", "services"), services)
	n.t.Cleanup(func() {
		for _, log := range []string{n.root(node, "/run/slurmd.log"), n.root(node, "/var/log/munge/munged.log"), filepath.Join(n.slurm.Dir, "slurmctld.log")} {
			if text, _ := os.ReadFile(log); n.t.Failed() {
				n.t.Logf("%s of %s:\n%s", filepath.Base(log), node, text)
			}
		}
	})
	out, err := n.inside(n.t.Context(), node, "sh", "-ec", `mkdir /run/munge; chmod 700 /etc/munge /var/lib/munge /var/log/munge; chown munge /etc/munge /run/munge /var/lib/munge /var/log/munge`).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%v %s", err, out)
	}
}

// update signs and publishes a run-once update for the nodes.
func (n *harvest) update(number, name, script string) {
	n.t.Helper()
	n.mustTool("update", "new", name, "--in", n.dir, "--number", number, "--node-types", "vnode")
	file := filepath.Join(n.dir, number+"-"+name+".sh")
	text, err := os.ReadFile(file)
	must(n.t, err)
	must(n.t, os.WriteFile(file, append(text, script...), 0o600))
	n.mustTool("update", "sign", file)
	n.mustTool("trust", "publish", n.trust())
	n.mustTool("update", "publish", number, "--ring", "100%", "--yes")
}

// give has the nodes have what Slurm needs: the hub's own key and configuration.
func (n *harvest) give() {
	n.t.Helper()
	n.mustTool("node-file", "set", "vnode", "/etc/munge/munge.key", "--from", filepath.Join(n.slurm.Dir, "munge", "munge.key"),
		"--secret", "--owner", "munge", "--mode", "0400", "--restart", "munge,slurmd", "--yes")
	n.mustTool("node-file", "set", "vnode", "/etc/slurm/slurm.conf", "--from", filepath.Join(n.slurm.Dir, "etc", "slurm.conf"), "--restart", "slurmd", "--yes")
	n.mustTool("trust", "publish", n.trust())
}

// same tells whether a node's file is the hub's.
func (n *harvest) same(node, path, hubs string) bool {
	n.t.Helper()
	is, _ := os.ReadFile(n.root(node, path))
	want, err := os.ReadFile(filepath.Join(n.slurm.Dir, hubs))
	must(n.t, err)
	return bytes.Equal(is, want)
}

// begins is update 001: it waits for the files of the node type, and starts slurmd as
// a dynamic node under the name of the node.
const begins = `ready() {
	[ -s /etc/munge/munge.key ] && [ -s /etc/slurm/slurm.conf ] || return 1
	address=$(fernwerk-agent tunnel status | sed -n 's/^vpns: up, \([0-9.]*\) at .*/\1/p')
	name=$(getent hosts "$address") || return 1
	name=${name##* }
}
until ready; do sleep 1; done # the time limit of the update ends it
echo "SLURMD_OPTIONS='-Z -N $name --conf \"CPUs=1 RealMemory=100 Feature=vnode\"'" >/etc/default/slurmd
services munge start
services slurmd start
`
