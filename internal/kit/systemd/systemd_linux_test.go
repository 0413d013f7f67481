package systemd

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// The real systemd finds nothing wrong with a unit, and something with a wrong one.
func TestUnit_Verify(t *testing.T) {
	analyze := require.Tool(t, "systemd-analyze")
	verify := func(u Unit) (string, error) {
		t.Helper()
		text, err := u.Text()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), u.Name+".service")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput()
		return string(out), err
	}
	u := Unit{Name: "fwtest", Description: "A test", Exec: []string{os.Args[0], "run", "--data", `/a b/100%/$HOME/"q"\`}, Service: "Restart=always\nKillMode=process\n"}
	if out, err := verify(u); err != nil || strings.Contains(out, "fwtest") {
		t.Errorf("%v %s", err, out)
	}
	u.Service = "Restart=perhaps\n"
	if out, _ := verify(u); !strings.Contains(out, "fwtest.service") {
		t.Errorf("a wrong unit passes: %s", out)
	}
	for _, bad := range [][]string{{"relative"}, {"/x", "a\nExecStartPre=/bin/sh"}} {
		u.Exec = bad
		if text, err := u.Text(); err == nil {
			t.Errorf("%q: %s", bad, text)
		}
	}
}

func TestReady(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@fernwerk-test-" + filepath.Base(t.TempDir()) + time.Now().Format("150405.000000000")} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		l.SetReadDeadline(time.Now().Add(20 * time.Second))
		hear := func(want string) {
			t.Helper()
			b := make([]byte, 100)
			n, err := l.Read(b)
			if err != nil || string(b[:n]) != want {
				t.Errorf("%q %v", b[:n], err)
			}
		}
		t.Setenv("NOTIFY_SOCKET", name)
		ctx, stop := context.WithCancel(t.Context())
		if err := Ready(ctx); err != nil {
			t.Fatal(err)
		}
		hear("READY=1")
		if os.Getenv("NOTIFY_SOCKET") != "" {
			t.Error("children can tell systemd")
		}
		stop()
		hear("STOPPING=1")
		if err := Ready(t.Context()); err != nil {
			t.Errorf("nobody wants to know: %v", err)
		}
	}
}

// What others than root can replace is not started for root.
func TestOwned(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "in", "program")
	link := filepath.Join(dir, "link")
	for _, err := range []error{os.Mkdir(filepath.Dir(program), 0o755), os.WriteFile(program, nil, 0o755), os.Symlink(program, link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{program, link} {
		if err := owned(path); err != nil {
			t.Error(err)
		}
	}
	for name, change := range map[string]func() error{
		"a program of somebody's":  func() error { return os.Chown(program, 65534, 65534) },
		"one that others write":    func() error { return os.Chmod(program, 0o777) },
		"in somebody's folder":     func() error { return os.Chown(filepath.Dir(program), 65534, 0) },
		"in one that others write": func() error { return os.Chmod(filepath.Dir(program), 0o777) },
		"in one of a group": func() error {
			return errors.Join(os.Chown(filepath.Dir(program), 0, 65534), os.Chmod(filepath.Dir(program), 0o775))
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{program, link} {
			if err := owned(path); err == nil {
				t.Errorf("%s: %s is started", name, path)
			}
		}
		for _, err := range []error{os.Chown(program, 0, 0), os.Chmod(program, 0o755), os.Chown(filepath.Dir(program), 0, 0), os.Chmod(filepath.Dir(program), 0o755)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if path, err := (Unit{Name: "fwtest", Exec: []string{filepath.Join(dir, "nothing")}}).Install(t.Context()); err == nil {
		t.Errorf("%s is written", path)
	}
}
