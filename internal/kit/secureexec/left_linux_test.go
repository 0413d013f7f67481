package secureexec

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is killed whose child has children: they are ended by whoever takes its
// place, but for the one that left the session; and nobody else's are.
func TestEndLeft(t *testing.T) {
	killed := func(dir string) map[string]int {
		t.Helper()
		path := filepath.Join(t.TempDir(), "out")
		cmd := exec.Command(os.Args[0], path, dir)
		cmd.Env = []string{role + "=leaver", "PATH=" + os.Getenv("PATH")}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		left := map[string]int{}
		for late := time.Now().Add(20 * time.Second); len(left) < 3; <-time.After(10 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("they did not start: %v", left)
			}
			text, _ := os.ReadFile(path)
			for line := range strings.Lines(string(text)) {
				var name string
				var pid int
				if n, _ := fmt.Sscanf(line, "%s %d\n", &name, &pid); n == 2 {
					left[name] = pid
					t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
				}
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		return left
	}
	dir, others := t.TempDir(), t.TempDir()
	ours, theirs := killed(dir), killed(others)
	if n, err := EndLeft(t.Context(), t.TempDir()); n != 0 || err != nil {
		t.Errorf("of nobody: %d %v", n, err)
	}
	for name, pid := range ours {
		if !alive(pid) {
			t.Fatalf("%s is gone before it is ended", name)
		}
	}
	if n, err := EndLeft(t.Context(), dir); n < 2 || n > 3 || err != nil { // the shell may not be quite gone
		t.Errorf("%d were ended: %v", n, err)
	}
	for name, pid := range ours {
		if alive(pid) != (name == "own") {
			t.Errorf("%s: alive %v", name, alive(pid))
		}
	}
	for name, pid := range theirs {
		if !alive(pid) {
			t.Errorf("%s of another was ended", name)
		}
	}
	if n, err := EndLeft(t.Context(), dir); n != 0 || err != nil {
		t.Errorf("once more: %d %v", n, err)
	}
	// Whoever is started by a child of ours is not its own remainder.
	sid, _, _ := strings.Cut(strings.TrimPrefix(Mark(others)[0], markName+"="), ":")
	cmd := exec.Command("sh", "-c", `"$0" -test.run '^TestEndLeft_Self$' -test.v; echo "exit $?"`, os.Args[0])
	cmd.Env = append(os.Environ(), markName+"="+sid+":"+dir, "ENDLEFT_SELF="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "exit 0") {
		t.Errorf("%v %s", err, out)
	}
}

func TestEndLeft_Self(t *testing.T) {
	dir := os.Getenv("ENDLEFT_SELF")
	if dir == "" {
		return // TestEndLeft starts it
	}
	if n, err := EndLeft(t.Context(), dir); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

// One that does not listen is killed.
func TestEndLeft_Stubborn(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", `trap "" TERM; echo ready; sleep 1000; sleep 1000`)
	cmd.Env = append(os.Environ(), Mark(dir)...)
	ready, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready.Read(make([]byte, 8))
	go cmd.Wait()
	began := time.Now()
	if n, err := EndLeft(t.Context(), dir); n < 1 || err != nil || time.Since(began) < leftGrace {
		t.Errorf("%d %v after %v", n, err, time.Since(began))
	}
}

// Whoever else is on the machine can give a process of his own the mark, and start it
// again as often as it is ended: it is neither ended nor waited for.
func TestEndLeft_AnotherUsersMark(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to be another user")
	}
	dir := t.TempDir()
	cmd := exec.Command("sleep", "600")
	cmd.Env = append(os.Environ(), Mark(dir)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if n, err := EndLeft(t.Context(), dir); n != 0 || err != nil {
		t.Errorf("%d were ended: %v", n, err)
	}
	if !alive(cmd.Process.Pid) {
		t.Error("a process of another user was ended")
	}
}
