package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Agent is a fernwerk-agent with its data folder.
type Agent struct {
	Programs Programs
	Data     string
	Log      string // file that takes what it writes to stderr
	BootID   string // what it believes to be the machine's boot; a new one is a reboot

	proc   *process
	client *control.Client
}

// timer makes the event "timer" active before the server says so, with a first
// occurrence that no test waits for: firing it is what its timer would do.
const timer = "[event_timer]\nactive = true\nstart_interval = 86400\ninterval = 86400\n"

// Join makes the agent a host of the server that answers at url, which may be a
// line's near end. Its event "timer" is active, and can be fired.
func (a *Agent) Join(ctx context.Context, url string, s *Server, id string) error {
	password, err := s.AddHost(ctx, id)
	if err != nil {
		return err
	}
	if _, err := s.Call(ctx, "configState_createObjects", map[string]any{"type": "ConfigState",
		"configId": "opsiclientd.event_timer.active", "objectId": id, "values": []any{true}}); err != nil {
		return err
	}
	fingerprint, err := s.Fingerprint()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.Data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(a.Data, "agent.conf"), []byte(timer), 0o600); err != nil {
		return err
	}
	_, errOut, code, err := a.Programs.Run(ctx, nil, "fernwerk-agent", "join", "--data", a.Data, "--server", url,
		"--host-id", id, "--one-time-password", password, "--ca-fingerprint", fingerprint)
	if err == nil && code != 0 {
		err = fmt.Errorf("status %d: %s", code, strings.TrimSpace(errOut))
	}
	if err != nil {
		return fmt.Errorf("cannot join: %w", err)
	}
	return nil
}

// Start starts the agent and waits until its local service listens.
func (a *Agent) Start(ctx context.Context) error {
	env := []string{}
	if a.BootID != "" {
		env = append(env, "FERNWERK_BOOT_ID="+a.BootID)
	}
	proc, _, err := begin(ctx, a.Log, env, a.Programs.Path("fernwerk-agent"), "run", "--data", a.Data, "--control", "127.0.0.1:0")
	if err != nil {
		return err
	}
	a.proc = proc
	id, err := identity.Load(a.Data)
	if err != nil {
		return err
	}
	a.client, err = control.Dial(a.Data, id.HostID, id.HostKey)
	return err
}

// Alive tells whether the agent's process runs.
func (a *Agent) Alive() bool { return a.proc.alive() }

// Ask calls a method of the agent's local service as whoever has its host key.
func (a *Agent) Ask(ctx context.Context, method string, args ...any) (any, error) {
	id, err := identity.Load(a.Data)
	if err != nil {
		return nil, err
	}
	address, err := control.Address(a.Data)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(control.CertPath(a.Data))
	if err != nil {
		return nil, err
	}
	cfg, err := pin.Config("localhost", ca, "")
	if err != nil {
		return nil, err
	}
	client, err := rpc.NewClient(rpc.Options{URL: "https://" + address + "/opsiclientd", User: id.HostID, TLS: cfg, UserAgent: "fernwerk-site",
		Password: func(context.Context) (string, error) { return id.HostKey, nil }})
	if err != nil {
		return nil, err
	}
	return client.Call(ctx, methods.Actor{}, method, methods.Pos(args...))
}

// PID is the agent's process.
func (a *Agent) PID() int { return a.proc.cmd.Process.Pid }

// Kill ends the agent without a word.
func (a *Agent) Kill() { a.proc.kill() }

// Stop asks the agent to end, and fails if it does not do so in time and with
// status 0.
func (a *Agent) Stop(within time.Duration) error {
	if err := a.proc.stop(within); err != nil {
		return fmt.Errorf("cannot stop the agent: %w", err)
	}
	return nil
}

// Status asks the agent what it is doing.
func (a *Agent) Status(ctx context.Context) (control.Status, error) {
	if a.client == nil {
		return control.Status{}, errors.New("the agent was not started")
	}
	return a.client.Status(ctx)
}

// Fire makes an event occur and returns the id of its change.
func (a *Agent) Fire(ctx context.Context, event string) (string, error) {
	return a.client.Fire(ctx, event)
}

// CacheDir is the agent's product cache.
func (a *Agent) CacheDir() string { return filepath.Join(a.Data, "cache") }
