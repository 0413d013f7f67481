package filelock

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childEnv makes the test program take the lock of the named file, say so and
// keep it until it is killed.
const childEnv = "FERNWERK_FILELOCK_TEST"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		lock, err := Acquire(path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		bufio.NewReader(os.Stdin).ReadByte() // until the parent ends or kills us
		lock.Release()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAcquire_NamesTheOtherProcess_AndItsDeathFreesTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	// An id that is longer than the child's must not shine through.
	if err := os.WriteFile(path, []byte("\n4194304999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "locked\n" {
		t.Fatalf("child said %q", line)
	}

	_, err = Acquire(path)
	held, ok := errors.AsType[*HeldError](err)
	if !errors.Is(err, ErrHeld) || !ok || held.PID != child.Process.Pid {
		t.Errorf("Acquire = %v, want the lock held by %d", err, child.Process.Pid)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("process %d", child.Process.Pid)) {
		t.Errorf("message %q does not name the process", err)
	}

	child.Process.Kill()
	child.Wait()
	lock, err := Acquire(path)
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

func TestAcquire_SameProcessTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(path); !errors.Is(err, ErrHeld) {
		t.Errorf("second Acquire = %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Acquire(path)
	if err != nil {
		t.Fatalf("after Release: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}

func TestAcquire_FolderMissingIsNotHeld(t *testing.T) {
	_, err := Acquire(filepath.Join(t.TempDir(), "no", "lock"))
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrHeld) {
		t.Errorf("Acquire = %v", err)
	}
}

func TestHolder_UnreadableIsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for content, want := range map[string]int{"": 0, "\n": 0, "\nabc": 0, "\n-4\n": 0, "\n77\n": 77, "\x0077        \n": 77, "\n99999999999999999999": 0} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := holder(path); got != want {
			t.Errorf("holder of %q = %d, want %d", content, got, want)
		}
	}
	err := &HeldError{Path: "lock"}
	if !strings.Contains(err.Error(), "another process") {
		t.Errorf("message without an id: %q", err)
	}
}
