package agent

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/action"
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

// keepsReboots makes the part that carries reboots out.
func (a *Agent) keepsReboots() *reboot.Keeper {
	return reboot.New(reboot.Config{
		Store: a.store, Boot: a.bootID, Busy: processes, Alone: a.installing, Restart: a.restart, Warn: a.warn, Log: a.cfg.Log,
		Tell: func(ctx context.Context, text string) {
			a.tell(ctx, timeline.Entry{Category: timeline.System, Text: text})
		},
	})
}

// processes tells whether a change is under way that processes actions: from its
// first action until its results are sent.
func processes(tx *store.Tx) (bool, error) {
	doing, err := tx.Select(engine.Changes, fleet.Filter{"status": string(engine.Doing)})
	for _, c := range doing {
		tasks, err := engine.TasksOf(tx, c.Str("id"))
		if err != nil {
			return false, err
		}
		for _, t := range tasks {
			if t.Kind == taskActions {
				return true, nil
			}
		}
	}
	return false, err
}

// commandTime is what a command that restarts the machine, or tells people, may take.
const commandTime = time.Minute

// restart has the machine go down.
func (a *Agent) restart(ctx context.Context) error {
	if a.cfg.Restart != nil {
		return a.cfg.Restart(ctx)
	}
	own, err := a.own()
	if err != nil {
		return err
	}
	argv := own.List("reboot", "command")
	if len(argv) == 0 {
		if argv, err = platform.RestartCommand(); err != nil {
			return err
		}
	}
	return a.execute(ctx, argv)
}

func (a *Agent) execute(ctx context.Context, argv []string) error {
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
func (a *Agent) warn(ctx context.Context, text string) {
	own, err := a.own()
	if err != nil || a.cfg.Restart != nil {
		return
	}
	argv := own.List("reboot", "notifier")
	if len(argv) == 0 {
		argv = platform.WarnCommand()
	}
	if len(argv) == 0 {
		return
	}
	if err := a.execute(ctx, append(argv, text)); err != nil {
		a.cfg.Log.Warn("Nobody was told of the reboot", "error", err)
	}
}

// unasked is never, for requests that somebody has to accept.
const unasked = 100 * 366 * 24 * time.Hour

func policy(s conf.Shutdown, byAction bool) reboot.Policy {
	p := reboot.Policy{Warning: s.Warning, Deferrals: s.Deferral, Repeat: s.Repeat, Last: s.Last}
	if byAction && !s.Requests {
		p.Warning, p.Last = unasked, 0
	}
	return p
}

// wantsReboot asks for a reboot, as the event of a task wants it carried out.
func (a *Agent) wantsReboot(tx *store.Tx, t engine.Task, w reboot.Wish, byAction bool) error {
	settings, err := a.settings(tx)
	if err != nil {
		return err
	}
	e, err := eventOf(tx, settings, t.Change)
	if err != nil {
		return err
	}
	w.Policy = policy(e.Shutdown, byAction)
	if err := reboot.Ask(tx, a.bootID, w); err != nil {
		return err
	}
	return flags.Set(tx, flags.RebootRequested, true)
}

// script names an action's script, for where it goes on.
func (args actionArgs) script() string {
	return fmt.Sprintf("%s of %s %s-%s", args.Action, args.ProductID, args.ProductVersion, args.PackageVersion)
}

// held says why an action is not begun now, and else where its script goes on.
func (a *Agent) held(ctx context.Context, args actionArgs, job *action.Job) (wait string, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		r, waits, err := reboot.Read(tx, a.bootID)
		if err == nil && waits && r.Hold {
			wait = "left for after the reboot"
		}
		if err == nil {
			job.Step, err = reboot.Step(tx, args.script())
		}
		return err
	})
	return wait, err
}

// asksReboot takes over what a script that has ended asked for.
func (a *Agent) asksReboot(tx *store.Tx, t engine.Task, args actionArgs, res action.Result) error {
	if res.Reboot == action.NoReboot {
		return nil
	}
	w := reboot.Wish{Text: args.ProductID + ": " + cmp.Or(res.RebootText, "asks for a reboot")}
	if res.Reboot > action.WhenDone {
		w.Hold, w.After = true, t.Change
	}
	return a.wantsReboot(tx, t, w, true)
}

// goesOn tells whether a script that asks to be run again after a reboot is: one
// that failed is not, nor one that asks without an end, which is a failure.
func (a *Agent) goesOn(ctx context.Context, args actionArgs, res *action.Result) bool {
	if res.Status != fleet.Successful {
		return false
	}
	err := a.store.View(ctx, func(tx *store.Tx) error { return reboot.MayGoOn(tx, args.script(), res.Step) })
	if err != nil {
		res.Status, res.Text, res.Reboot = fleet.Failed, err.Error(), action.NoReboot
	}
	return err == nil
}

// after is what comes of a script that goes on after a reboot: its request stays.
func (a *Agent) after(t engine.Task, args actionArgs, res action.Result) engine.Outcome {
	text := fmt.Sprintf("%s goes on after a reboot, at %s", args.script(), res.Step)
	out := a.noted(t, timeline.RunActions, text)
	out.Skip = true
	return a.also(out, func(tx *store.Tx) error {
		if err := reboot.GoOn(tx, args.script(), res.Step); err != nil {
			return err
		}
		err := tx.Patch(fleet.ProductsOnClients, fleet.Row{"productId": args.ProductID, "productType": fleet.LocalbootProduct,
			"clientId": a.id.HostID, "actionProgress": "waits for a reboot, then goes on at " + res.Step})
		if err != nil && fleet.CodeOf(err) != fleet.NotFound {
			return err
		}
		return a.asksReboot(tx, t, args, res)
	})
}

// reboot is the last step of an event that asks for one.
func (a *Agent) reboot(_ context.Context, t engine.Task) (engine.Outcome, error) {
	out := a.noted(t, timeline.System, "reboot requested")
	return a.also(out, func(tx *store.Tx) error {
		return a.wantsReboot(tx, t, reboot.Wish{Text: "products are ready to be installed"}, false)
	}), nil
}

// booted takes a reboot that was asked for as done, and goes on behind it.
func (a *Agent) booted(tx *store.Tx) error {
	if err := flags.Set(tx, flags.RebootRequested, false); err != nil {
		return err
	}
	r, ok, err := reboot.Booted(tx, a.bootID)
	if err != nil || !ok {
		return err
	}
	if err := timeline.Write(tx, timeline.Entry{Category: timeline.System, Text: "the machine has restarted: " + r.Text}); err != nil || r.After == "" {
		return err
	}
	return a.goOn(tx, r.After)
}

// Reboot implements [control.Reboots].
func (a *Agent) Reboot(ctx context.Context) (st *control.RebootStatus, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error { st, err = a.rebootIn(tx); return err })
	return st, err
}

func (a *Agent) rebootIn(tx *store.Tx) (*control.RebootStatus, error) {
	r, ok, err := reboot.Read(tx, a.bootID)
	if err != nil || !ok {
		return nil, err
	}
	return &control.RebootStatus{Text: r.Text, Asked: r.Asked, Due: r.Due, Latest: r.Latest, Holds: r.Hold, Deferrals: r.MayDefer, Deferred: r.Deferred, Tries: r.Tries, Trouble: r.Trouble}, nil
}

// AcceptReboot implements [control.Reboots].
func (a *Agent) AcceptReboot(ctx context.Context) error {
	return a.decide(ctx, "reboot accepted", func(tx *store.Tx) error { return reboot.Accept(tx, a.bootID) })
}

// DeferReboot implements [control.Reboots].
func (a *Agent) DeferReboot(ctx context.Context, by time.Duration) error {
	return a.decide(ctx, "reboot put off", func(tx *store.Tx) error { _, err := reboot.Later(tx, a.bootID, by); return err })
}

// AskReboot implements [control.Reboots].
func (a *Agent) AskReboot(ctx context.Context, wait time.Duration) error {
	return a.decide(ctx, "reboot asked for by the control interface", func(tx *store.Tx) error {
		err := reboot.Ask(tx, a.bootID, reboot.Wish{Text: "an administrator asks for it", Policy: reboot.Policy{Warning: wait}})
		if err == nil {
			err = flags.Set(tx, flags.RebootRequested, true)
		}
		return err
	})
}

func (a *Agent) decide(ctx context.Context, text string, fn func(*store.Tx) error) error {
	err := a.store.Update(ctx, origin, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return timeline.Write(tx, timeline.Entry{Category: timeline.UserInteraction, Text: text})
	})
	a.reboots.Wake()
	return err
}
