//go:build unix

package secureexec

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitDeath waits until no living process has the number; a zombie that its
// new parent has not reaped yet is dead.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for alive(pid) {
		if time.Now().After(deadline) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d still lives", pid)
		}
		runtime.Gosched()
	}
}

func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return runtime.GOOS != "linux"
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestRun_ChildEnds_TakesGrandchildrenAlong(t *testing.T) {
	c := self(t, "parent")
	out := awaitOutput("grandchild")
	c.Out = out
	r, err := Run(t.Context(), c)
	if err != nil || r.Failure() != nil {
		t.Fatal(r, err)
	}
	var pid int
	if _, err := fmt.Sscanf(out.String()[strings.Index(out.String(), "grandchild"):], "grandchild %d", &pid); err != nil {
		t.Fatal(err)
	}
	awaitDeath(t, pid)
}

func TestRun_ContextEnds_KillsGrandchildren(t *testing.T) {
	c := self(t, "parent")
	c.Argv = append(c.Argv, "stay")
	out := awaitOutput("ready") // of the grandchild
	c.Out = out
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-out.seen; cancel() }()
	if _, err := Run(ctx, c); err == nil {
		t.Fatal("no error")
	}
	var pid int
	if _, err := fmt.Sscanf(out.String()[strings.Index(out.String(), "grandchild"):], "grandchild %d", &pid); err != nil {
		t.Fatal(err)
	}
	awaitDeath(t, pid)
}

func TestRun_WeAreKilled_ChildDies(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux and Windows end a child with its killed parent")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.Command(exe)
	agent.Env = []string{role + "=agent"}
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(line, "child %d", &pid); err != nil {
		t.Fatal(err)
	}
	agent.Process.Kill()
	agent.Wait()
	awaitDeath(t, pid)
}

func TestPrivateDir_RefusesWhatOthersCanEnter(t *testing.T) {
	base := t.TempDir()
	open := filepath.Join(base, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(base, "ours")
	if err := PrivateDir(ours); err != nil {
		t.Fatal(err)
	}
	if err := PrivateDir(ours); err != nil {
		t.Errorf("second time: %v", err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(ours, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{open, link, file, filepath.Join(base, "no", "parent")} {
		if err := PrivateDir(path); err == nil {
			t.Errorf("%s was accepted", filepath.Base(path))
		}
	}
}
