// Package e2e tests the real programs from outside: processes on the loopback
// interface, joined by an emulated slow line, killed, stopped and lied to.
//
// The programs are built once, or taken from the folder FERNWERK_BIN.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// stopTime is how long a program may take to stop; busyTime a server that is
// just sending, which gives its requests some seconds to end by themselves.
const (
	stopTime = 5 * time.Second
	busyTime = 8 * time.Second
)

var scratch string // of the test binary

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "fernwerk-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	out := os.Stdout
	if *storyJSON { // nothing but the document
		os.Stdout = os.Stderr
	}
	code := m.Run()
	if *storyJSON {
		if err := writeStories(out); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	end()
	os.RemoveAll(dir)
	os.Exit(code)
}

// end ends what all tests share.
func end() {
	ends.Lock()
	defer ends.Unlock()
	for _, fn := range ends.all {
		fn()
	}
}

var ends struct {
	sync.Mutex
	all []func()
}

// atEnd has fn called when all tests are over.
func atEnd(fn func()) {
	ends.Lock()
	defer ends.Unlock()
	ends.all = append(ends.all, fn)
}

var built = sync.OnceValues(func() (site.Programs, error) {
	return site.Build(context.Background(), filepath.Join(scratch, "bin"))
})

func programs(t testing.TB) site.Programs {
	t.Helper()
	p, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve starts a server on new data, which is killed when the test ends.
func serve(t testing.TB) *site.Server {
	t.Helper()
	dir := t.TempDir()
	s := &site.Server{Programs: programs(t), Data: filepath.Join(dir, "server"), Log: filepath.Join(dir, "server.log")}
	must(t, s.Start(t.Context()))
	t.Cleanup(s.Kill)
	return s
}

// host makes an agent that has joined through url, not started.
func host(t testing.TB, s *site.Server, url, id string) *site.Agent {
	t.Helper()
	dir := t.TempDir()
	a := &site.Agent{Programs: s.Programs, Data: filepath.Join(dir, "agent"), Log: filepath.Join(dir, "agent.log"), BootID: "first"}
	must(t, a.Join(t.Context(), url, s, id))
	t.Cleanup(a.Kill)
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await asks until ask says yes; what it waited for stands in the failure.
func await(t testing.TB, what string, ask func() (bool, error)) {
	t.Helper()
	late := time.After(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}

// idle tells whether nothing is to be done on an agent.
func idle(t testing.TB, a *site.Agent) func() (bool, error) {
	return func() (bool, error) {
		st, err := a.Status(t.Context())
		return err == nil && st.Running == "" && st.Waiting == 0 && len(st.Changes) > 0, err
	}
}
