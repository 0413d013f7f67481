package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
)

// Host is a machine with an agent that has joined the lab's server.
type Host struct {
	ID  string
	Dir string // the agent's data folder

	lab    *Lab
	agent  *agent.Agent
	boot   int
	down   atomic.Int64 // how often the agent had the machine restart
	wires  wires
	cancel context.CancelFunc
	done   chan error
}

// Option is a wish for a new host.
type Option func(*wishes)

type wishes struct{ url, conf string }

// Through lets the host reach the server over a line.
func Through(p *slowline.Proxy) Option {
	return func(w *wishes) { w.url = "https://" + p.Addr().String() }
}

// Conf is the host's agent.conf.
func Conf(text string) Option { return func(w *wishes) { w.conf = text } }

// timers keeps the timer, which the lab makes active, from occurring while a
// test runs: firing it is what it would do.
const timers = "[event_timer]\nstart_interval = 86400\ninterval = 86400\n"

// Host makes a host, lets its machine join and starts its agent. The first
// synchronisation has ended when it returns.
func (l *Lab) Host(name string, options ...Option) *Host {
	l.t.Helper()
	h := l.Joined(name, options...)
	h.Start()
	return h
}

// Joined makes a host and lets its machine join, without starting the agent.
func (l *Lab) Joined(name string, options ...Option) *Host {
	l.t.Helper()
	w := wishes{url: l.Server.URL(), conf: timers}
	for _, o := range options {
		o(&w)
	}
	h := &Host{ID: name + ".example.org", Dir: filepath.Join(l.t.TempDir(), name), lab: l}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	h.Configure(w.conf)
	const once = "once only"
	l.Call("host_createObjects", fleet.Row{"type": fleet.OpsiClient, "id": h.ID, "oneTimePassword": once})
	h.Set("opsiclientd.event_timer.active", true)
	_, err := identity.Join(l.t.Context(), h.Dir, identity.JoinRequest{Server: w.url, HostID: h.ID, OneTimePassword: once, Fingerprint: l.Server.fingerprint()})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(h.Stop)
	return h
}

// Configure writes agent.conf, which counts from the next start on.
func (h *Host) Configure(conf string) {
	h.lab.t.Helper()
	if err := os.WriteFile(agent.ConfFile(h.Dir), []byte(conf), 0o600); err != nil {
		h.lab.t.Fatal(err)
	}
}

// Start starts the agent as after a boot, and waits until it has done what that
// asks for. It returns that change.
func (h *Host) Start() Change {
	h.lab.t.Helper()
	h.boot++
	last := ""
	h.begin(func(st control.Status) {
		if len(st.Changes) > 0 {
			last = st.Changes[0].ID
		}
	})
	var started string
	h.Await("the start's event", func(st control.Status) bool {
		for _, c := range st.Changes {
			if c.ID > last && strings.HasPrefix(c.Event, "opsiclientd_start") {
				started = c.ID
			}
		}
		return started != "" && idle(st)
	})
	return h.change(started)
}

// Resume starts the agent without a boot, as after a crash of it alone.
func (h *Host) Resume() {
	h.lab.t.Helper()
	h.begin(func(control.Status) {})
}

func (h *Host) begin(look func(control.Status)) {
	h.lab.t.Helper()
	a, err := agent.New(context.WithoutCancel(h.lab.t.Context()), agent.Config{DataDir: h.Dir, Control: "127.0.0.1:0",
		BootID: fmt.Sprintf("boot %d", h.boot), Version: "lab", Log: h.lab.Log.logger(h.ID),
		Restart: func(context.Context) error { h.down.Add(1); return nil },
		Network: event.Network{Addresses: h.wires.addresses, Changes: h.wires.changes}})
	if err != nil {
		h.lab.t.Fatal(err)
	}
	h.agent = a
	look(h.Status())
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan error, 1)
	go func() { h.done <- a.Serve(ctx) }()
}

// Stop ends the agent where it is, if it runs.
func (h *Host) Stop() {
	if h.cancel == nil {
		return
	}
	h.cancel()
	if err := <-h.done; err != nil {
		h.lab.t.Errorf("%s: the agent stopped with %v", h.ID, err)
	}
	h.cancel = nil
}

// wires are the machine's addresses, which a test gives it.
type wires struct {
	mu      sync.Mutex
	have    []netip.Addr
	changed chan<- struct{}
}

func (w *wires) addresses() ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.have, nil
}

func (w *wires) changes(ctx context.Context, changed chan<- struct{}) error {
	w.mu.Lock()
	w.changed = changed
	w.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// Plug gives the machine addresses in place of those that it had.
func (h *Host) Plug(addresses ...string) {
	h.wires.mu.Lock()
	defer h.wires.mu.Unlock()
	h.wires.have = nil
	for _, a := range addresses {
		h.wires.have = append(h.wires.have, netip.MustParseAddr(a))
	}
	if h.wires.changed != nil {
		select {
		case h.wires.changed <- struct{}{}:
		default:
		}
	}
}

// Restarts is how often the agent had the machine restart: nothing comes of it but
// that, until the test boots it.
func (h *Host) Restarts() int { return int(h.down.Load()) }

// Restarted waits until the agent has had the machine restart, and boots it.
func (h *Host) Restarted(times int) Change {
	h.lab.t.Helper()
	h.Await(fmt.Sprintf("restart %d", times), func(control.Status) bool { return h.Restarts() >= times })
	return h.Boot()
}

// Boot restarts the machine.
func (h *Host) Boot() Change {
	h.lab.t.Helper()
	h.Stop()
	return h.Start()
}

// Running tells whether the agent runs still.
func (h *Host) Running() bool { return h.cancel != nil && len(h.done) == 0 }

// Addr is where the agent's own service listens.
func (h *Host) Addr() string { return h.agent.Addr() }

// Status is the agent's.
func (h *Host) Status() control.Status {
	h.lab.t.Helper()
	st, err := h.agent.Status(context.WithoutCancel(h.lab.t.Context()))
	if err != nil {
		h.lab.t.Fatal(err)
	}
	return st
}

// Await waits for a state of the agent.
func (h *Host) Await(what string, cond func(control.Status) bool) {
	h.lab.t.Helper()
	Await(h.lab.t, h.ID+": "+what, func() bool {
		if !h.Running() {
			h.lab.t.Fatalf("%s: the agent ended by itself", h.ID)
		}
		return cond(h.Status())
	})
}

func idle(st control.Status) bool { return st.Running == "" && st.Waiting == 0 }

// Begin makes an event occur, and returns its change's id at once.
func (h *Host) Begin(event string) string {
	h.lab.t.Helper()
	id, err := h.agent.Fire(h.lab.t.Context(), event)
	if err != nil {
		h.lab.t.Fatal(err)
	}
	return id
}

// Fire makes an event occur and waits for the end of its change, and of what
// followed from it.
func (h *Host) Fire(event string) Change {
	h.lab.t.Helper()
	id := h.Begin(event)
	if id == "" {
		h.lab.t.Fatalf("event %s asks for nothing", event)
	}
	return h.Ended(id)
}

// Ended waits for the end of a change, and of what followed from it.
func (h *Host) Ended(id string) Change {
	h.lab.t.Helper()
	h.Await("the end of change "+id, func(st control.Status) bool { return idle(st) && h.change(id).Ended() })
	return h.change(id)
}

// Change is a change as the agent tells of it.
type Change struct{ control.ChangeDetail }

func (h *Host) change(id string) Change {
	h.lab.t.Helper()
	d, err := h.agent.Change(context.WithoutCancel(h.lab.t.Context()), id)
	if err != nil {
		h.lab.t.Fatal(err)
	}
	return Change{d}
}

// Events are those of the newest changes, oldest first.
func (h *Host) Events() (list []string) {
	h.lab.t.Helper()
	for _, c := range h.Status().Changes {
		list = append([]string{c.Event}, list...)
	}
	return list
}

// Texts are what the tasks of a kind say, one a line.
func (c Change) Texts(kind string) string {
	var list []string
	for _, t := range c.Tasks {
		if t.Kind == kind {
			list = append(list, t.Status+": "+t.Text)
		}
	}
	return strings.Join(list, "\n")
}

// OK fails the test unless the change succeeded.
func (c Change) OK(t testing.TB) Change {
	t.Helper()
	if c.Status != "done" {
		t.Fatalf("%s ended as %s: %s", c.Event, c.Status, c.Text)
	}
	return c
}
