package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAttack66_FlapsAndRestarts: a node flaps a hundred times at random: its cable is
// pulled out, for moments or so long that it counts as down, its openvpn connects anew or
// is killed. Meanwhile
// fernwerkd, the hub's openvpn and OAR are killed and started again. The end state is
// right, and a job on the other node knows nothing of it.
func TestAttack66_FlapsAndRestarts(t *testing.T) {
	t.Parallel()                // it mostly waits
	const flaps, grace = 100, 8 // seconds: what comes back takes some on a loaded machine
	const long = 2              // so often the node is away until it is down, which takes most of the time
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FERNWERK_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	n := newNewcomers(t, fmt.Sprintf("A node flaps, everything else is restarted (FERNWERK_TEST_SEED=%d)", seed), grace, "a", "b")
	random := rand.New(rand.NewPCG(seed, 0))
	n.open()
	n.publish()
	for _, node := range []string{"a", "b"} {
		n.joins(node)
		n.arrives(node)
	}
	over := filepath.Join(n.dir, "over")
	must(t, os.Chmod(n.dir, 0o755))
	other := n.submit("b", "echo begun; until test -e "+over+"; do sleep 0.2; done; hostname")
	n.runs(other)
	n.step("job %s runs on b, for as long as a flaps", other)

	restarts := map[int]func(){
		flaps * 1 / 7: n.restartServer, flaps * 2 / 7: n.restartVPN, flaps * 3 / 7: n.restartOAR,
		flaps * 4 / 7: n.restartVPN, flaps * 5 / 7: n.restartServer, flaps * 6 / 7: n.restartOAR,
	}
	cables, again, kills, downs := 0, 0, 0, 0
	for i := range flaps {
		if restart := restarts[i]; restart != nil {
			restart()
		}
		away := time.Duration(random.IntN(300)) * time.Millisecond
		if downs < long && (random.IntN(flaps) < 2 || i == flaps/2 || i == flaps*9/10) { // so long that the node is down
			away, downs = (8+grace+2)*time.Second, downs+1
		}
		switch kind := random.IntN(10); {
		case away > time.Second || kind < 5:
			n.plug("a", "down")
			<-time.After(away)
			n.plug("a", "up")
			cables++
		case kind < 9:
			again += n.signal("a", "openvpn", syscall.SIGUSR1)
		default:
			kills += n.signal("a", "openvpn", syscall.SIGKILL)
		}
		<-time.After(time.Duration(random.IntN(700)) * time.Millisecond)
	}
	n.step("a flapped: cable out %d times, %d of them for long, its openvpn connected anew %d times and was killed %d times; fernwerkd, openvpn and OAR were each restarted twice", cables, downs, again, kills)
	n.until(time.Minute, "a is in the tunnel", func() bool { return n.status("a").State == "up" && n.pings("hub", n.at["a"]) })
	n.is(n.names["a"], "Alive")
	n.until(30*time.Second, "nothing differs", func() bool {
		out, err := n.tool("resource", "diff", "--json")
		return err == nil && strings.TrimSpace(out) == "[]"
	})
	n.step("the end state is right: a is Alive, and nothing differs")
	if got := n.status("a").Address; got != n.at["a"] {
		t.Errorf("a had %s and has %s", n.at["a"], got)
	}
	if got := n.dig("b", n.names["a"]); got != n.at["a"] {
		t.Errorf("the name of a leads to %q", got)
	}
	if nodes := strings.Fields(n.beside("oarnodes", "-l")); len(nodes) != 2 {
		t.Errorf("OAR has %v", nodes)
	}
	if state := n.job(other); state != "Running" {
		t.Errorf("the job on b is %s", state)
	}
	n.runJobs("a")
	must(t, os.WriteFile(over, nil, 0o600))
	if out := n.output(other); out != "begun\nbox-b\n" {
		t.Errorf("the job on b says %q", out)
	}
	all, own := n.states(n.names["b"])
	if !slices.Equal(all, []string{"Alive"}) || own != 0 {
		t.Errorf("OAR knew b as %v, of which it decided %d itself", all, own)
	}
	if by := n.callers(); len(by) != 1 || by["fernwerkd"] == 0 {
		t.Errorf("fernwerkd is not the only one who changed OAR: %v", by)
	}
	all, _ = n.states(n.names["a"])
	n.step("job %s on b went through it undisturbed and is Terminated; OAR knew b as Alive all the time, and a as %s", other, strings.Join(all, " "))
}

// signal sends a signal to the processes of a program in a namespace, and says how many
// they are.
func (n *newcomers) signal(space, program string, s syscall.Signal) (many int) {
	n.t.Helper()
	out, _ := exec.Command("ip", "netns", "pids", n.id+space).Output()
	for _, text := range strings.Fields(string(out)) {
		pid, _ := strconv.Atoi(text)
		if is, _ := os.Readlink("/proc/" + text + "/exe"); filepath.Base(is) == program && syscall.Kill(pid, s) == nil {
			many++
		}
	}
	return many
}

func (n *newcomers) restartServer() {
	n.t.Helper()
	must(n.t, n.hub.Process.Kill())
	n.hub.Wait()
	n.serve()
	n.step("fernwerkd killed, and started again")
}

func (n *newcomers) restartVPN() {
	n.t.Helper()
	if n.signal("hub", "openvpn", syscall.SIGKILL) != 1 {
		n.t.Error("there was no openvpn to kill in the hub")
	}
	n.until(20*time.Second, "openvpn is started again", func() bool { return n.pings("b", vpnAddress) })
	n.step("the hub's openvpn killed; b is in its tunnel again")
}

func (n *newcomers) restartOAR() {
	n.t.Helper()
	must(n.t, n.oar.StopAlmighty())
	must(n.t, n.oar.StartAlmighty())
	n.step("OAR ended, and started again")
}
