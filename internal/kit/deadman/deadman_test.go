package deadman

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "guard" { // this binary as the guard
		pid, _ := strconv.Atoi(os.Args[3])
		if err := Guard(context.Background(), os.Args[2], pid); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// begin starts a process that a guard watches; ended is closed with it.
func begin(t *testing.T, argv ...string) (cmd *exec.Cmd, ended chan struct{}) {
	t.Helper()
	cmd = exec.Command(argv[0], argv[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	return cmd, ended
}

// A process runs while it is allowed to, and ends soon after; also one that does not
// listen, and while a second guard comes.
func TestGuard(t *testing.T) {
	for name, argv := range map[string][]string{"that ends": {"sleep", "600"}, "that does not listen": {"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "p.until")
			cmd, ended := begin(t, argv...)
			began := time.Now()
			if err := Allow(path, 2*time.Second); err != nil {
				t.Fatal(err)
			}
			guard := []string{os.Args[0], "guard"}
			for range 2 {
				if err := Start(guard, path, cmd.Process.Pid); err != nil {
					t.Fatal(err)
				}
			}
			again := time.NewTimer(time.Second)
			defer again.Stop()
			for running := true; running; {
				select {
				case <-again.C:
					if err := Allow(path, 2*time.Second); err != nil {
						t.Fatal(err)
					}
				case <-ended:
					running = false
				case <-time.After(20 * time.Second):
					t.Fatal("it runs on")
				}
			}
			if took := time.Since(began); took < 2900*time.Millisecond {
				t.Errorf("it was ended after %v, and allowed for 3s", took)
			} else {
				t.Logf("allowed for 3s, ended after %v", took)
			}
		})
	}
}

// A guard ends with its process, and leaves others alone; what cannot be read allows
// nothing.
func TestGuard_Ends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.until")
	cmd, ended := begin(t, "sleep", "600")
	if err := Allow(path, time.Hour); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Guard(t.Context(), path, cmd.Process.Pid) }()
	cmd.Process.Kill()
	<-ended
	if err := <-done; err != nil {
		t.Error(err)
	}
	other, gone := begin(t, "sleep", "600")
	if err := os.WriteFile(path, []byte("soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Guard(t.Context(), path, other.Process.Pid); err != nil {
		t.Error(err)
	}
	<-gone
	if err := Guard(t.Context(), path, other.Process.Pid); err != nil {
		t.Errorf("of a process that is gone: %v", err)
	}
}
