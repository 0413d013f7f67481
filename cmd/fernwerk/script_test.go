package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	agent "github.com/fernwerk/fernwerk/internal/agent/command"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/server/command"
)

// TestMain makes both programs commands of the scripts, from this binary.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fernwerk":       main,
		"opsi-admin":     main,
		"fernwerk-agent": func() { agent.Run("test") },
		"fernwerkd":      func() { run.Main(func(ctx context.Context) error { return command.Run(ctx, "test") }) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"ADDR", "ADDR2"} { // free ports for the script's servers
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				defer listener.Close()
				env.Setenv(name, listener.Addr().String())
			}
			env.Setenv("XDG_CONFIG_HOME", env.Getenv("WORK")+"/config")
			return os.MkdirAll(env.Getenv("TMPDIR"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"listen":  listen,
			"approve": approve,
		},
		RequireExplicitExec: true,
	})
}

// approve HOST waits until a machine waits to be approved, and makes it that host.
func approve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: approve HOST")
	}
	request := regexp.MustCompile(`"id": "([0-9a-f]{16})"`)
	for deadline := time.Now().Add(30 * time.Second); ; {
		ts.Check(ts.Exec("fernwerk", "host", "pending", "--json"))
		if found := request.FindStringSubmatch(ts.ReadFile("stdout")); found != nil {
			ts.Check(ts.Exec("fernwerk", "host", "approve", found[1], "--as", args[0]))
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no machine waits")
		}
	}
}

// exits CODE PROGRAM ARGS... runs a program and wants an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

// listen ADDR waits until a server answers there: the port is open before it has
// made its certificate.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen ADDR")
	}
	ts.Check(await(args[0], time.After(time.Minute)))
}

func await(addr string, limit <-chan time.Time) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}); err == nil { // who it is the script will see
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-limit:
			return fmt.Errorf("nobody listens at %s", addr)
		}
	}
}
