// Package agent is the program that runs on every managed machine. This file
// wires its parts; what an event means is in steps.go, what each step does in
// sync.go and actions.go.
//
// An event occurs (a timer, the machine's start, somebody at the local
// service) and selects one event configuration. That becomes a durable change
// of the engine, whose tasks push and pull the configuration, fill the product
// cache, and run product actions from it. Everything that must survive the
// process is in one database, agent.db.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/action"
	"github.com/fernwerk/fernwerk/internal/agent/configcache"
	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/depotclient"
	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/event"
	"github.com/fernwerk/fernwerk/internal/agent/event/memory"
	"github.com/fernwerk/fernwerk/internal/agent/feed"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/grid"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/identity/contact"
	"github.com/fernwerk/fernwerk/internal/agent/instlog"
	"github.com/fernwerk/fernwerk/internal/agent/messages"
	"github.com/fernwerk/fernwerk/internal/agent/nodefile"
	"github.com/fernwerk/fernwerk/internal/agent/platform"
	"github.com/fernwerk/fernwerk/internal/agent/productcache"
	"github.com/fernwerk/fernwerk/internal/agent/reboot"
	"github.com/fernwerk/fernwerk/internal/agent/rebooting"
	"github.com/fernwerk/fernwerk/internal/agent/runonce"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/agent/trust"
	"github.com/fernwerk/fernwerk/internal/agent/updating"
	"github.com/fernwerk/fernwerk/internal/backend/bus"
	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/internal/kit/throttle"
)

// Config is what the agent is started with.
type Config struct {
	DataDir string
	Control string // host:port of the local service; "" is the configuration's
	BootID  string // "" is the machine's; a lab starts agents as if they had booted
	Version string
	Log     *slog.Logger
	// Restart makes the machine restart; nil is the configured command, or the
	// system's. Labs have machines that are no machines.
	Restart func(context.Context) error
	Network event.Network // where changes of the network come from; empty: the machine's
}

// Agent is one machine's agent.
type Agent struct {
	cfg    Config
	id     identity.Identity
	file   *conf.File
	bootID string

	lock      *filelock.Lock
	db        *sqldb.DB
	store     *store.Store
	service   *methods.Service // over the cache
	remote    methods.Backend  // the server
	depots    *depotclient.Client
	config    *configcache.Cache
	products  *productcache.Cache
	limit     *throttle.Limiter
	processor action.Processor
	engine    *engine.Engine
	*rebooting.Part
	control *control.Service
	updating.Control
	files    *nodefile.Service
	alone    chan struct{} // held by whoever changes the machine
	contacts *contact.Service
	trust    *trust.Keeper

	// A pull may have changed the configuration: for the events, and the bus.
	reconfigured, rewished chan struct{}

	mu      sync.Mutex
	refused string              // what was last reported not to count
	depot   control.DepotStatus // the last choice
}

// Classes are the agent's own bookkeeping, beside the fleet's classes.
func Classes() []*fleet.Class {
	return append(append(timeline.Classes(), engine.Changes, engine.Tasks, flags.Flags, configcache.States,
		productcache.Products, instlog.Class, memory.Class, feed.Rows), append(append(append(runonce.Classes(), reboot.Classes()...), trust.Classes()...), catalog.Classes()...)...)
}

// New opens the agent's data, alone. It connects to nothing.
func New(ctx context.Context, cfg Config) (a *Agent, err error) {
	a = &Agent{cfg: cfg, limit: throttle.New(throttle.Unlimited), reconfigured: make(chan struct{}, 1), rewished: make(chan struct{}, 1), alone: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	// Scripts get paths from here, and run in another folder.
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return a, fmt.Errorf("cannot use the data folder: %w", err)
	}
	a.cfg = cfg
	if a.id, err = identity.Load(cfg.DataDir); err != nil {
		return a, err
	}
	if err = Private(cfg.DataDir); err != nil {
		return a, err
	}
	if a.lock, err = filelock.Acquire(filepath.Join(cfg.DataDir, "agent.lock")); err != nil {
		return a, fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot start the agent: %w", err), "only one agent can use %s", cfg.DataDir)
	}
	if err = identity.Settle(cfg.DataDir, a.id.HostID); err != nil {
		return a, err
	}
	if a.bootID = cfg.BootID; a.bootID == "" {
		if a.bootID, err = platform.BootID(); err != nil {
			return a, err
		}
	}
	if a.file, err = LoadConf(cfg.DataDir); err != nil {
		return a, err
	}
	database := filepath.Join(cfg.DataDir, "agent.db")
	if a.db, err = sqlite.Open(database); err == nil {
		a.store, err = store.Open(ctx, a.db, time.Now, Classes()...)
	}
	if err != nil {
		return a, fleet.WithHint(err, "if %s is damaged, move it and its -wal and -shm away: all is fetched anew, but results that were not sent are lost", database)
	}
	if err = a.openTrust(ctx); err != nil {
		return a, err
	}
	settings, err := a.own()
	if err != nil {
		return a, err
	}
	a.service = catalog.New(a.store, methods.Ports{Info: map[string]any{"version": cfg.Version, "kind": "agent"}})
	if err := a.connect(settings); err != nil {
		return a, err
	}
	if err := a.clearTemp(); err != nil {
		return a, err
	}
	if a.processor, err = action.New(action.PerProduct); err != nil {
		return a, err
	}
	a.engine = engine.New(a.store, cfg.Log, map[string]engine.Handler{
		taskPush: a.push, taskPull: a.pull, taskCache: a.cache, taskCompleted: a.completed,
		taskActions: a.actions, taskAction: a.action, taskDone: a.actionsDone,
		taskLog: a.sendLog, taskRepeat: a.repeat, taskReboot: a.reboot,
	})
	a.Part = rebooting.New(rebooting.Config{Store: a.store, Boot: a.bootID, Own: a.own, Alone: a.installing, Actions: taskActions, Restart: cfg.Restart, Log: cfg.Log})
	a.engine.Noted = a.Part.Wake
	a.Control = updating.Control{Runner: a.updater(a.trust)}
	if a.files, err = grid.Files(a.node(), a.trust); err != nil {
		return a, err
	}
	listen := cfg.Control
	if listen == "" {
		listen = net.JoinHostPort(settings.String("control_server", "interface"), settings.String("control_server", "port"))
	}
	a.control, err = control.Listen(control.Config{DataDir: cfg.DataDir, Listen: listen, HostID: a.id.HostID, HostKey: a.id.HostKey,
		Version: cfg.Version, Cache: a.service, Agent: a, Log: cfg.Log})
	return a, err
}

// connect makes the clients of the server; they connect when they are used.
func (a *Agent) connect(s *conf.Settings) error {
	userAgent := "fernwerk-agent/" + a.cfg.Version
	remote, err := a.id.Client(userAgent)
	if err != nil {
		return err
	}
	a.remote = remote
	a.depots = depotclient.New(depotclient.Config{HostID: a.id.HostID, HostKey: a.id.HostKey, Server: strings.TrimSuffix(a.id.Server, "/"), Remote: remote, Log: a.cfg.Log,
		HTTP: func(host string) (*http.Client, func(*http.Request) error, error) {
			return a.id.HTTPTo(userAgent, host)
		}})
	a.config = configcache.New(a.store, remote, a.id.HostID, a.cfg.Log)
	a.contacts = a.checksIn(remote)
	a.products = productcache.New(productcache.Options{
		Dir: s.String("cache_service", "storage_dir"), MaxSize: s.Int("cache_service", "product_cache_max_size"), Limiter: a.limit,
		NoLinks: runtime.GOOS == "windows", Allow: a.allow,
	}, a.store, a.cfg.Log)
	return nil
}

// Private makes the data folder if it is missing, and keeps others out of it.
func Private(dataDir string) error {
	err := os.MkdirAll(dataDir, 0o700)
	if err == nil && runtime.GOOS != "windows" {
		err = os.Chmod(dataDir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the agent's data folder private: %w", err)
	}
	return nil
}

// clearTemp removes what scripts that were cut off, and files that were not
// finished, left behind.
func (a *Agent) clearTemp() error {
	for _, sub := range []string{"", "control"} {
		atomicfile.Sweep(filepath.Join(a.cfg.DataDir, sub))
	}
	dir := filepath.Join(a.cfg.DataDir, "tmp")
	if n, err := secureexec.EndLeft(context.Background(), dir); n > 0 || err != nil {
		a.cfg.Log.Warn("Processes of scripts were left by an agent that was killed", "ended", n, "error", err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return fmt.Errorf("cannot clear the folder for temporary files: %w", err)
	}
	return nil
}

// Close gives everything back; Serve does it at its end.
func (a *Agent) Close() error {
	var errs []error
	if a.control != nil {
		a.control.Close()
	}
	if a.depots != nil {
		a.depots.Close()
	}
	if a.db != nil {
		errs = append(errs, a.db.Close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Release())
	}
	return errors.Join(errs...)
}

// Serve runs the agent until ctx ends.
func (a *Agent) Serve(ctx context.Context) error {
	defer a.Close()
	if err := a.products.Recover(ctx); err != nil {
		return err
	}
	g := &run.Group{Log: a.cfg.Log}
	// A disk that is full, or a fault in one task, must not take the rest along:
	// both write before they act, and go on where they were.
	g.Add("engine", run.Supervise("engine", run.Func(a.engine.Serve), a.cfg.Log))
	g.Add("local service", a.control)
	g.Add("contacts", run.Supervise("contacts", run.Func(a.contacts.Serve), a.cfg.Log))
	g.Add("message bus", run.Supervise("message bus", a.messageBus(), a.cfg.Log))
	g.Add("reboots", run.Supervise("reboots", a.Part, a.cfg.Log))
	g.Add("updates", run.Supervise("updates", run.Func(a.Control.Runner.Serve), a.cfg.Log))
	g.Add("events", run.Supervise("events", run.Func(a.watch), a.cfg.Log))
	g.Add("files", run.Supervise("files", a.files, a.cfg.Log))
	if err := grid.Add(g, a.node()); err != nil {
		return err
	}
	if err := grid.Feed(g, a.node(), a.file, a.store); err != nil {
		return err
	}
	a.cfg.Log.Info("agent runs", "host", a.id.HostID, "server", a.id.Server, "local service", a.control.Addr(), "boot", a.bootID)
	return g.Serve(ctx)
}

// messageBus is the permanent connection to the server, if it is wished for.
func (a *Agent) messageBus() *messages.Service {
	return messages.New(messages.Config{
		HostID: a.id.HostID, Control: control.Methods(a), Changed: a.rewished, Log: a.cfg.Log,
		Options: func() (bus.Options, error) {
			trust, err := a.id.TLS()
			return bus.Options{Server: a.id.Server, User: a.id.HostID, Password: a.id.HostKey, TLS: trust, UserAgent: "fernwerk-agent/" + a.cfg.Version}, err
		},
		Wishes: func(ctx context.Context) (w messages.Wishes, err error) {
			s, err := a.now(ctx)
			if err == nil {
				second := func(key string) time.Duration { return time.Duration(s.Int("config_service", key)) * time.Second }
				w = messages.Wishes{Permanent: s.Bool("config_service", "permanent_connection"), Min: second("reconnect_wait_min"), Max: second("reconnect_wait_max")}
			}
			return w, err
		},
	})
}

// Addr is where the local service listens.
func (a *Agent) Addr() string { return a.control.Addr() }

// self is the machine as a caller of its own service.
func (a *Agent) self() methods.Actor { return methods.Actor{Role: methods.Host, ID: a.id.HostID} }
