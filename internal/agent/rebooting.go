package agent

import (
	"cmp"
	"context"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/agent/action"
	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/reboot"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

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
	return a.Wants(tx, e.Shutdown, w, byAction)
}

// script names an action's script, for where it goes on.
func (args actionArgs) script() string {
	return fmt.Sprintf("%s of %s %s-%s", args.Action, args.ProductID, args.ProductVersion, args.PackageVersion)
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
