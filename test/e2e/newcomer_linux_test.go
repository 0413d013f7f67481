package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNewcomer is the way of a machine that was just given a token: it joins, runs the
// signed update 000, which has it enter the tunnel, is found by its name, and takes
// jobs of OAR, which run on it; unplugged it takes none, and plugged in again it does.
// Nobody but fernwerkd tells OAR about nodes. Then neighbours move from the tunnel to
// the mesh, where they talk on their LAN, also with the hub dead.
func TestNewcomer(t *testing.T) {
	nodes := []string{"a1", "a2", "b1", "b2"}
	n := newNewcomers(t, "Newcomers: from a token to a job, and to the neighbour", 2, nodes...)
	n.open()
	n.publish()
	for _, node := range nodes {
		n.joins(node)
	}
	n.step("four machines joined by one token")
	var alive []time.Duration
	for _, node := range nodes {
		alive = append(alive, n.arrives(node))
		n.until(10*time.Second, "the server knows that the update is done", func() bool {
			return strings.Contains(n.mustTool("update", "status", "000", n.ids[node]), "done")
		})
		if got := n.dig(node, "-x", n.at[node]); got != n.names[node]+"." {
			t.Errorf("the name of %s is %q", n.at[node], got)
		}
		if got := n.dig("hub", n.ids[node]); !strings.Contains(got, n.at[node]) {
			t.Errorf("the host's own name leads to %q", got)
		}
	}
	// The promise is for a machine that does nothing else; this one may.
	if slices.Sort(alive); alive[0] > 5*time.Second || alive[len(alive)-1] > 15*time.Second {
		t.Errorf("from the tunnel to Alive took %v: one shall be there within 5 s, all within 15 s", alive)
	}
	n.figure("alive_slowest", alive[len(alive)-1].Seconds(), "s")
	for _, node := range nodes {
		n.hasProperties(node)
	}
	n.step("oarnodes shows all properties of each")
	n.runJobs(nodes...)

	n.plug("a1", "down")
	n.is(n.names["a1"], "Absent")
	n.until(10*time.Second, "its name is gone", func() bool { return n.dig("hub", n.names["a1"]) == "" })
	n.step("a1 unplugged: it is Absent, and its name is gone (OpenVPN gives up after 8 s, the grace is 2 s)")
	n.plug("a1", "up")
	n.is(n.names["a1"], "Alive")
	n.step("a1 plugged in: it is Alive")
	if got := n.status("a1").Address; got != n.at["a1"] {
		t.Errorf("it had %s and has %s", n.at["a1"], got)
	}
	n.runJobs("a1")
	n.until(10*time.Second, "nothing differs", func() bool {
		return strings.TrimSpace(n.mustTool("resource", "diff", "--json")) == "[]"
	})
	list := n.mustTool("tunnel", "list")
	for _, node := range nodes {
		if !strings.Contains(list, n.names[node]) {
			t.Errorf("%s is not in the tunnel: %s", node, list)
		}
	}
	by := n.callers()
	if by["fernwerkd"] == 0 || len(by) != 1 {
		t.Errorf("fernwerkd is not the only one who changed OAR: %v", by)
	}
	for _, node := range nodes {
		want := map[bool]string{true: "Alive Absent Alive", false: "Alive"}[node == "a1"]
		if got, own := n.states(n.names[node]); strings.Join(got, " ") != want || own != 0 {
			t.Errorf("OAR knew %s as %v, of which it decided %d itself; want %s", node, got, own, want)
		}
	}
	n.step("OAR says what it shall; its logs know one who changed it: fernwerkd, %d calls", by["fernwerkd"])

	n.neighbours("a1", "a2", "b1")
}

// hasProperties waits until OAR knows a node by all properties of the seed.
func (n *newcomers) hasProperties(node string) {
	n.t.Helper()
	var is map[string]string
	n.until(30*time.Second, "the client's name was looked up", func() bool {
		_, is = n.properties(n.names[node])
		return is["idhalclientname"] != ""
	})
	for key, want := range map[string]string{"ip": n.at[node], "idhaltype": "vnode", "cluster": "vnode", "idhalcn": n.ids[node], "network_address": n.names[node], "besteffort": "YES",
		"idhalclientip": n.outside(node), "idhalclientname": "line-" + node[:1] + ".isp.test"} {
		if is[key] != want {
			n.t.Errorf("%s: %s is %q, want %q", node, key, is[key], want)
		}
	}
	if since, err := time.Parse("Mon Jan _2 15:04:05 MST 2006", is["idhalconnectedsince"]); err != nil || time.Since(since) > time.Hour {
		n.t.Errorf("%s: connected since %q, %v", node, is["idhalconnectedsince"], err)
	}
}

// runJobs has OAR run a job on each node, which says where it is.
func (n *newcomers) runJobs(nodes ...string) {
	n.t.Helper()
	jobs := map[string]string{}
	for _, node := range nodes {
		jobs[node] = n.submit(node, `hostname; ip -4 -o addr show dev tun0; cat $OAR_NODEFILE`)
	}
	for _, node := range nodes {
		out := n.output(jobs[node])
		n.step("job %s ran on %s, and says box-%s, %s, %s", jobs[node], node, node, n.at[node], n.names[node])
		for _, want := range []string{"box-" + node + "\n", " " + n.at[node] + "/", n.names[node] + "\n"} {
			if !strings.Contains(out, want) {
				n.t.Errorf("the output of the job on %s has no %q: %s", node, want, out)
			}
		}
	}
}
