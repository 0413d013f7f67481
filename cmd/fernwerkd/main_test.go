package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fernwerkd": main})
}

// Scripts run fernwerkd as a program. Beside the usual commands they have
//
//	up NAME ARGS...       start "fernwerkd serve ARGS" and wait for its ready line; $NAME is its HOST:PORT
//	[!] down NAME SIGNAL  end it and wait; ! wants it not to end with 0
//	exits N ARGS...       run fernwerkd and check its exit code
//	port NAME             $NAME is a port that somebody else listens on
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Values[processes{}] = map[string]*process{}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", env.WorkDir+"/xdg")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": up, "down": down, "exits": exits, "port": port,
		},
	})
}

// patience is for a machine that is busy with other tests.
const patience = time.Minute

type process struct {
	cmd    *exec.Cmd
	stderr *strings.Builder
	rest   chan error // of reading its output to the end
}

// program is fernwerkd with the script's environment; Main put it on PATH.
func program(ts *testscript.TestScript, args ...string) *exec.Cmd {
	path, err := exec.LookPath("fernwerkd")
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "FERNWERK_ADMIN_PASSWORD", "PATH"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// processes is the key of a script's servers, by name.
type processes struct{}

func running(ts *testscript.TestScript) map[string]*process {
	return ts.Value(processes{}).(map[string]*process)
}

func up(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: up NAME ARGS...")
	}
	p := &process{cmd: program(ts, append([]string{"serve"}, args[1:]...)...), stderr: &strings.Builder{}, rest: make(chan error, 1)}
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	ts.Defer(func() { p.cmd.Process.Kill() })
	timer := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	address, ready := strings.CutPrefix(strings.TrimSpace(line), "ready https://")
	if err != nil || !ready {
		p.cmd.Wait()
		ts.Fatalf("not ready: %q, %v\n%s", line, err, p.stderr)
	}
	go func() {
		line, err := r.ReadString('\n')
		if line != "" {
			err = fmt.Errorf("more on stdout: %q", line)
		}
		p.rest <- err
	}()
	ts.Setenv(args[0], address)
	running(ts)[args[0]] = p
}

func down(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}
	if len(args) != 2 || running(ts)[args[0]] == nil || signals[args[1]] == nil {
		ts.Fatalf("usage: down NAME TERM|INT|KILL")
	}
	p := running(ts)[args[0]]
	delete(running(ts), args[0])
	ts.Check(p.cmd.Process.Signal(signals[args[1]]))
	timer := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	if err := <-p.rest; err != nil && err.Error() != "EOF" && !errors.Is(err, os.ErrClosed) {
		ts.Fatalf("%v", err)
	}
	err := p.cmd.Wait()
	if (err != nil) != neg {
		ts.Fatalf("it ended with %v\n%s", err, p.stderr)
	}
	ts.Check(os.WriteFile(ts.MkAbs("stderr.txt"), []byte(p.stderr.String()), 0o600))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits N ARGS...")
	}
	cmd := program(ts, args[1:]...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if typed, err := os.Open(ts.MkAbs("stdin.txt")); err == nil { // what a script types
		defer typed.Close()
		cmd.Stdin = typed
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s (%v)\n%s%s", code, args[0], err, stdout.String(), stderr.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs("stdout.txt"), []byte(stdout.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("stderr.txt"), []byte(stderr.String()), 0o600))
}

func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}
