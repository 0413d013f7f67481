// Package lab is a server and any number of agents in one process, for tests.
//
// All of it is real: the programs' own packages, their files in temporary
// folders, TLS on the loopback, if wanted behind an emulated slow line. What
// differs from machines is that a reboot is a new boot id, and that a stop is
// the end of a context; processes that are killed are the matter of test/e2e.
//
// A test reads as its story:
//
//	l := lab.New(t)
//	l.Package("firefox", "1.0", lab.Setup("echo done"))
//	pc := l.Host("pc1")
//	pc.Request("firefox", "setup")
//	pc.Fire("timer")
//	l.Server.Stop()
//	pc.Boot()
//
// Every verb fails the test when it cannot be done. Nothing sleeps: what takes
// time is waited for, at most [Patience]. The logs of all parts are shown when
// the test has failed.
package lab

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
)

// Patience is how long anything may take.
const Patience = 2 * time.Minute

// Lab is a server and its agents. Its methods are for the test's goroutine.
type Lab struct {
	Server *Server
	Log    *Log

	t     *testing.T // that of the running step
	admin *rpc.Client
}

// New starts a server, which the test's end stops.
func New(t *testing.T) *Lab {
	t.Helper()
	l := &Lab{t: t, Log: newLog(t)}
	l.Server = &Server{lab: l, Dir: t.TempDir(), listen: "127.0.0.1:0"}
	l.Server.Start()
	t.Cleanup(l.Server.Stop)
	l.admin = l.Server.client(admin, password)
	t.Cleanup(func() { l.admin.Logout(context.Background()) })
	l.StayConnected(false)
	return l
}

// Run runs a step of the test as a subtest, which the verbs used in it fail.
// What is made in it ends with it.
func (l *Lab) Run(name string, step func(t *testing.T)) {
	l.t.Helper()
	whole := l.t
	whole.Run(name, func(t *testing.T) {
		l.t = t
		t.Cleanup(func() { l.t = whole })
		step(t)
	})
}

// Admin is the server as its administrator reaches it, over the wire.
func (l *Lab) Admin() *rpc.Client { return l.admin }

// Call calls a method as the administrator.
func (l *Lab) Call(method string, args ...any) any {
	l.t.Helper()
	v, err := l.admin.Call(l.t.Context(), methods.Actor{}, method, methods.Pos(args...))
	if err != nil {
		l.t.Fatalf("%s: %v", method, err)
	}
	return v
}

// StayConnected says whether hosts that are made from now on keep a connection
// to the message bus. They do not where nobody says so: what they send would
// stand among what is counted.
func (l *Lab) StayConnected(wanted bool) {
	l.t.Helper()
	l.Call("config_updateObject", map[string]any{"type": fleet.BoolConfig, "id": "opsiclientd.config_service.permanent_connection", "defaultValues": []any{wanted}})
}

// Rows calls a method that answers with objects.
func (l *Lab) Rows(method string, args ...any) []fleet.Row {
	l.t.Helper()
	rows, err := rpc.Rows(l.Call(method, args...))
	if err != nil {
		l.t.Fatalf("%s: %v", method, err)
	}
	return rows
}

// Line puts an emulated line before the server; hosts that are made [Through]
// it know the server by its near end.
func (l *Lab) Line(line slowline.Line) *slowline.Proxy {
	l.t.Helper()
	p, _ := l.MortalLine(line)
	return p
}

// MortalLine is a Line that can end for ever: nobody listens at its near end then.
func (l *Lab) MortalLine(line slowline.Line) (p *slowline.Proxy, end func()) {
	l.t.Helper()
	p, err := slowline.Listen(line, "127.0.0.1:0", l.Server.listen)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx) }()
	t := l.t
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the line failed: %v", err)
		}
	})
	t.Cleanup(end)
	return p, end
}

// Await waits until cond is true.
func Await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("waited %v in vain: %s", Patience, what)
		}
	}
}
