// Package rebooting joins what a reboot needs of the agent: the requests and their
// keeper, the machine's own command, people who are told and answer, and the
// timeline. It stands above these parts, which do not know each other.
package rebooting

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/platform"
	"github.com/fernwerk/fernwerk/internal/agent/reboot"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
)

// Config is what the part needs of the agent.
type Config struct {
	Store *store.Store
	Boot  string
	// Own are the settings that the server has no word in.
	Own func() (*conf.Settings, error)
	// Alone runs fn while no script changes the machine.
	Alone   func(ctx context.Context, fn func() error) error
	Actions string // kind of the tasks that process product actions
	// Restart makes the machine restart; nil is the configured command, or the system's.
	Restart func(context.Context) error
	Log     *slog.Logger
}

// Part carries reboots out, and takes what people say to them.
type Part struct {
	cfg    Config
	keeper *reboot.Keeper
}

// New makes the part.
func New(cfg Config) *Part {
	p := &Part{cfg: cfg}
	p.keeper = reboot.New(reboot.Config{
		Store: cfg.Store, Boot: cfg.Boot, Busy: p.processes, Alone: cfg.Alone, Restart: p.restart, Warn: p.warn, Log: cfg.Log,
		Tell: func(ctx context.Context, text string) {
			err := cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
				return timeline.Write(tx, timeline.Entry{Category: timeline.System, Text: text})
			})
			if err != nil {
				cfg.Log.Warn("a line of the timeline is lost", "text", text, "error", err)
			}
		},
	})
	return p
}

var origin = store.Origin{Actor: "agent"}

// Serve carries reboots out until ctx ends.
func (p *Part) Serve(ctx context.Context) error { return p.keeper.Serve(ctx) }

// Wake has it look whether there is one.
func (p *Part) Wake() { p.keeper.Wake() }

// processes tells whether a change is under way that processes actions: from its
// first action until its results are sent.
func (p *Part) processes(tx *store.Tx) (bool, error) {
	doing, err := tx.Select(engine.Changes, fleet.Filter{"status": string(engine.Doing)})
	for _, c := range doing {
		tasks, err := engine.TasksOf(tx, c.Str("id"))
		if err != nil {
			return false, err
		}
		for _, t := range tasks {
			if t.Kind == p.cfg.Actions {
				return true, nil
			}
		}
	}
	return false, err
}

// commandTime is what a command that restarts the machine, or tells people, may take.
const commandTime = time.Minute

// restart has the machine go down.
func (p *Part) restart(ctx context.Context) error {
	if p.cfg.Restart != nil {
		return p.cfg.Restart(ctx)
	}
	own, err := p.cfg.Own()
	if err != nil {
		return err
	}
	argv := own.List("reboot", "command")
	if len(argv) == 0 {
		if argv, err = platform.RestartCommand(); err != nil {
			return err
		}
	}
	return p.execute(ctx, argv)
}

func (p *Part) execute(ctx context.Context, argv []string) error {
	r, err := secureexec.Run(ctx, secureexec.Command{Argv: argv, Env: secureexec.Inherit("PATH", "LANG", "SystemRoot", platform.BootIDEnv), Timeout: commandTime})
	if err == nil {
		err = r.Failure()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", argv[0], err)
	}
	return nil
}

// warn tells people at the machine.
func (p *Part) warn(ctx context.Context, text string) {
	own, err := p.cfg.Own()
	if err != nil || p.cfg.Restart != nil {
		return
	}
	argv := own.List("reboot", "notifier")
	if len(argv) == 0 {
		argv = platform.WarnCommand()
	}
	if len(argv) == 0 {
		return
	}
	if err := p.execute(ctx, append(argv, text)); err != nil {
		p.cfg.Log.Warn("Nobody was told of the reboot", "error", err)
	}
}

// unasked is never, for requests that somebody has to accept.
const unasked = 100 * 366 * 24 * time.Hour

func policy(s conf.Shutdown, byAction bool) reboot.Policy {
	pol := reboot.Policy{Warning: s.Warning, Deferrals: s.Deferral, Repeat: s.Repeat, Last: s.Last}
	if byAction && !s.Requests {
		pol.Warning, pol.Last = unasked, 0
	}
	return pol
}

// Wants asks for a reboot, to be carried out as an event wants it.
func (p *Part) Wants(tx *store.Tx, s conf.Shutdown, w reboot.Wish, byAction bool) error {
	w.Policy = policy(s, byAction)
	if err := reboot.Ask(tx, p.cfg.Boot, w); err != nil {
		return err
	}
	return flags.Set(tx, flags.RebootRequested, true)
}

// Holds tells whether a reboot waits before which no action is begun.
func (p *Part) Holds(ctx context.Context) (holds bool, err error) {
	err = p.cfg.Store.View(ctx, func(tx *store.Tx) error {
		r, waits, err := reboot.Read(tx, p.cfg.Boot)
		holds = waits && r.Hold
		return err
	})
	return holds, err
}

// Step is where a script goes on after a reboot that it asked for.
func (p *Part) Step(ctx context.Context, script string) (step string, err error) {
	err = p.cfg.Store.View(ctx, func(tx *store.Tx) error { step, err = reboot.Step(tx, script); return err })
	return step, err
}

// Reboot implements [control.Reboots].
func (p *Part) Reboot(ctx context.Context) (st *control.RebootStatus, err error) {
	err = p.cfg.Store.View(ctx, func(tx *store.Tx) error { st, err = p.In(tx); return err })
	return st, err
}

// In is the same in a transaction.
func (p *Part) In(tx *store.Tx) (*control.RebootStatus, error) {
	r, ok, err := reboot.Read(tx, p.cfg.Boot)
	if err != nil || !ok {
		return nil, err
	}
	return &control.RebootStatus{Text: r.Text, Asked: r.Asked, Due: r.Due, Latest: r.Latest, Holds: r.Hold, Deferrals: r.MayDefer, Deferred: r.Deferred, Tries: r.Tries, Trouble: r.Trouble}, nil
}

// AcceptReboot implements [control.Reboots].
func (p *Part) AcceptReboot(ctx context.Context) error {
	return p.decide(ctx, "reboot accepted", func(tx *store.Tx) error { return reboot.Accept(tx, p.cfg.Boot) })
}

// DeferReboot implements [control.Reboots].
func (p *Part) DeferReboot(ctx context.Context, by time.Duration) error {
	return p.decide(ctx, "reboot put off", func(tx *store.Tx) error { _, err := reboot.Later(tx, p.cfg.Boot, by); return err })
}

// AskReboot implements [control.Reboots].
func (p *Part) AskReboot(ctx context.Context, wait time.Duration) error {
	return p.decide(ctx, "reboot asked for by the control interface", func(tx *store.Tx) error {
		err := reboot.Ask(tx, p.cfg.Boot, reboot.Wish{Text: "an administrator asks for it", Policy: reboot.Policy{Warning: wait}})
		if err == nil {
			err = flags.Set(tx, flags.RebootRequested, true)
		}
		return err
	})
}

func (p *Part) decide(ctx context.Context, text string, fn func(*store.Tx) error) error {
	err := p.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return timeline.Write(tx, timeline.Entry{Category: timeline.UserInteraction, Text: text})
	})
	p.Wake()
	return err
}
