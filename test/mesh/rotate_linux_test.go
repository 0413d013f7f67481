package mesh

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// questions is how many the server answered.
func (l *lab) questions() int {
	log, _ := os.ReadFile(filepath.Join(l.dir, "server.log"))
	return bytes.Count(log, []byte("path=/v1/mesh "))
}

// The mesh's authority is replaced while two nodes talk, and a third one sleeps: the two
// lose next to nothing, and the third is in the mesh again when it wakes up, although
// what it holds is of the old authority.
func TestMesh_RotateAuthority(t *testing.T) {
	t.Parallel() // it mostly waits, in networks of its own
	require.Tool(t, "ping")
	l := newLab(t, "a1", "a2", "c1")
	a1, a2, c1 := l.nodes["a1"], l.nodes["a2"], l.nodes["c1"]
	a1.is(a2, "direct")
	a1.is(c1, "direct")
	said := func(want ...string) func() error {
		return func() error {
			out, err := l.tryAdmin("mesh", "authority")
			for _, w := range want {
				if err == nil && !strings.Contains(out, w) {
					err = fmt.Errorf("%s", out)
				}
			}
			return err
		}
	}
	l.must(said("is good until")())
	l.kill(c1.agent, c1.data()) // it sleeps

	ping := exec.Command("ip", "netns", "exec", l.prefix+"a1", "ping", "-i", "0.2", "-W", "1", a2.address.String())
	var lines bytes.Buffer
	ping.Stdout = &lines
	l.must(ping.Start())
	started := time.Now()
	out := l.admin("mesh", "rotate-authority", "--yes")
	if !strings.Contains(out, "learn") {
		t.Errorf("%s", out)
	}
	if _, err := l.tryAdmin("mesh", "rotate-authority", "--yes"); err == nil {
		t.Error("it was begun twice")
	}
	l.await("nodes get certificates of the next", said("certificates of the next"))
	t.Logf("all who ask know both after %v", time.Since(started).Round(100*time.Millisecond))
	l.await("only the one that sleeps has not moved", said("1 have not", c1.host))
	t.Logf("all who ask have moved after %v", time.Since(started).Round(100*time.Millisecond))
	l.must(a1.reaches(a2))
	if out := l.admin("mesh", "rotate-authority", "--finish", "--yes"); !strings.Contains(out, c1.host) {
		t.Errorf("it does not say who has not moved: %s", out)
	}
	l.await("it is done", said("is good until"))
	asked := l.questions()
	l.await("both have asked twice since", func() error {
		if n := l.questions() - asked; n < 4 {
			return fmt.Errorf("%d questions", n)
		}
		return a1.reaches(a2)
	})
	ping.Process.Signal(syscall.SIGINT)
	ping.Wait()
	m := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindSubmatch(lines.Bytes())
	if m == nil {
		t.Fatalf("%s", lines.String())
	}
	var sent, got int
	fmt.Sscan(string(m[1]), &sent)
	fmt.Sscan(string(m[2]), &got)
	t.Logf("of %d packets, five a second, %d were lost from the first to the last step", sent, sent-got)
	if sent-got > 5 {
		t.Errorf("the change cost more than a second")
	}
	// Awake, and in again; the server was started again meanwhile.
	stop(l.server)
	l.serve()
	c1.start()
	l.await("who slept is in the mesh again", func() error { return a1.reaches(c1) })
	a1.is(a2, "direct")
}
