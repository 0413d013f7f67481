package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/agent/action"
	"github.com/fernwerk/fernwerk/internal/agent/configcache"
	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/productcache"
	"github.com/fernwerk/fernwerk/internal/agent/reboot"
	"github.com/fernwerk/fernwerk/internal/agent/rounds"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// actionArgs is one action of the plan, as its task keeps it.
type actionArgs struct {
	ProductID      string   `json:"productId"`
	ProductVersion string   `json:"productVersion"`
	PackageVersion string   `json:"packageVersion"`
	Action         string   `json:"action"`
	Needs          []string `json:"needs"` // products whose action must not have failed before
}

// actions turns the plan into one task a product. Seed A: where the event uses
// a cache that is not complete, it stops with an error.
func (a *Agent) actions(ctx context.Context, t engine.Task) (engine.Outcome, error) {
	if err := a.synchronised(ctx); err != nil {
		return engine.Outcome{}, err
	}
	p, err := a.plan(ctx, t)
	if err != nil && len(p.Steps) == 0 {
		return engine.Outcome{}, err
	}
	r, lerr := a.round(ctx, t, p)
	if lerr != nil {
		return engine.Outcome{}, lerr
	}
	for _, s := range r.left {
		if err := a.products.Has(ctx, string(s.ProductID), s.ProductVersion, s.PackageVersion); err != nil {
			return engine.Outcome{}, fmt.Errorf("cannot process actions: %w", err)
		}
	}
	out := a.noted(t, timeline.RunActions, fmt.Sprintf("%d actions to run", len(r.left)))
	for i, s := range r.left {
		args, err := json.Marshal(actionArgs{string(s.ProductID), s.ProductVersion, s.PackageVersion, string(s.Action), rounds.Needs(r.left[:i], s)})
		if err != nil {
			return engine.Outcome{}, err
		}
		// Each runs whatever became of the others; what it needs it looks at itself.
		out.Then = append(out.Then, engine.Step{Kind: taskAction, Args: string(args), Always: true})
	}
	out.Err = err
	return a.also(out, func(tx *store.Tx) error { return flags.Set(tx, flags.InstallationPending, len(r.left) > 0) }), nil
}

// synchronised is an error as long as no pull has succeeded.
func (a *Agent) synchronised(ctx context.Context) error {
	return a.store.View(ctx, func(tx *store.Tx) error {
		st, _, err := configcache.Load(tx)
		if err == nil && st.Pulled == "" {
			err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot process actions: the configuration was never synchronised with the server"),
				"fire an event that synchronises first: on_demand does")
		}
		return err
	})
}

// action runs one product's action from its cached copy. The result and the
// end of the task are one transaction.
func (a *Agent) action(ctx context.Context, t engine.Task) (engine.Outcome, error) {
	var args actionArgs
	if err := json.Unmarshal([]byte(t.Args), &args); err != nil {
		return engine.Outcome{}, err
	}
	job, err := a.job(ctx, args)
	if err != nil {
		return engine.Outcome{}, err
	}
	if held, err := a.Holds(ctx); err != nil || held {
		return engine.Outcome{Text: "left for after the reboot", Skip: true}, err
	}
	if job.Step, err = a.Step(ctx, args.script()); err != nil {
		return engine.Outcome{}, err
	}
	job.Attempt = int(t.Attempts)
	if err := a.needed(ctx, t, args); err != nil {
		out := a.noted(t, timeline.Error, err.Error())
		out.Err = err
		return out, nil
	}
	log, err := a.log().Open()
	if err != nil {
		return engine.Outcome{}, err
	}
	defer log.Close()
	job.Log = log
	job.Progress = func(text string) { a.tellProgress(ctx, args.ProductID, text) }
	var res action.Result
	err = a.installing(ctx, func() error { // it may have waited: what is checked runs at once
		if err := a.checked(ctx, args, &job); err != nil {
			return err
		}
		res, err = a.processor.Run(ctx, job)
		return err
	})
	switch fleet.CodeOf(err) {
	case fleet.Conflict, fleet.Denied:
		out := a.noted(t, timeline.Error, err.Error())
		if out.Err = err; fleet.CodeOf(err) == fleet.Denied {
			return out, nil
		}
		return a.also(out, func(tx *store.Tx) error { return productcache.Forget(tx, args.ProductID) }), nil
	}
	if err != nil {
		return engine.Outcome{}, err
	}
	if res.Reboot == action.Continue && a.goesOn(ctx, args, &res) {
		return a.after(t, args, res), nil
	}
	text := fmt.Sprintf("%s of %s %s-%s: %s", args.Action, args.ProductID, args.ProductVersion, args.PackageVersion, res.Status)
	if t.Interrupted() {
		text += fmt.Sprintf(" at attempt %d, the one before was interrupted", t.Attempts)
	}
	if res.Text != "" {
		text += ": " + res.Text
	}
	if err := log.Sync(); err != nil {
		return engine.Outcome{}, fmt.Errorf("cannot keep the installation log: %w", err)
	}
	out := a.noted(t, timeline.RunActions, text)
	out = a.also(out, func(tx *store.Tx) error {
		var was fleet.ProductOnClient
		r, err := tx.ByKey(fleet.ProductsOnClients, fleet.ProductsOnClients.Key(fleet.Row{
			"productId": args.ProductID, "productType": fleet.LocalbootProduct, "clientId": a.id.HostID}))
		if err != nil {
			return err
		}
		if r != nil {
			fleet.ProductsOnClients.Decode(r, &was)
		}
		if err := errors.Join(reboot.Forget(tx, args.script()), a.asksReboot(tx, t, args, res)); err != nil {
			return err
		}
		return tx.Put(fleet.ProductsOnClients, action.Apply(was, job, res))
	})
	if res.Status == fleet.Failed {
		out.Err = fmt.Errorf("%s", text)
	}
	return out, nil
}

// checked looks at every byte of a product's copy, and at whether the machine may
// run it, and what of it.
func (a *Agent) checked(ctx context.Context, args actionArgs, job *action.Job) error {
	held, err := a.products.Verified(ctx, args.ProductID, args.ProductVersion, args.PackageVersion)
	if err != nil {
		return err
	}
	by, err := a.vouched(held.Tree)
	if err == nil {
		err = by.Script(args.Action, job.Product.Script(job.Action))
	}
	if err != nil {
		return fmt.Errorf("cannot run %s of %s: %w", args.Action, args.ProductID, err)
	}
	job.Dir, job.Content = held.Dir, held.Content
	return nil
}

// job is what the working copy says about an action. The properties are asked
// of the local service, as a script would.
func (a *Agent) job(ctx context.Context, args actionArgs) (action.Job, error) {
	job := action.Job{HostID: fleet.HostID(a.id.HostID), Action: fleet.Action(args.Action), Temp: filepath.Join(a.cfg.DataDir, "tmp"),
		RPC: action.RPC{URL: "https://" + a.control.Addr() + "/rpc", User: a.id.HostID,
			KeyFile: identity.KeyPath(a.cfg.DataDir), CAFile: control.CertPath(a.cfg.DataDir)}}
	err := a.store.View(ctx, func(tx *store.Tx) error {
		r, err := tx.Get(fleet.Products, fleet.Row{"type": fleet.LocalbootProduct, "id": args.ProductID,
			"productVersion": args.ProductVersion, "packageVersion": args.PackageVersion})
		if err == nil {
			fleet.Products.Decode(r, &job.Product)
		}
		return err
	})
	if err != nil {
		return job, err
	}
	v, err := a.service.Call(ctx, a.self(), "productPropertyState_getValues", methods.Pos([]any{args.ProductID}, nil, []any{a.id.HostID}))
	if err != nil {
		return job, fmt.Errorf("cannot read the properties of %s: %w", args.ProductID, err)
	}
	hosts, _ := v.(map[string]any)
	products, _ := hosts[a.id.HostID].(map[string]any)
	values, _ := products[args.ProductID].(map[string]any)
	job.Properties = map[string][]any{}
	for id, list := range values {
		job.Properties[id], _ = list.([]any)
	}
	return job, nil
}

// needed is an error if a product that the action needs failed before it in the
// same change: whether its script did, or it could not even begin.
func (a *Agent) needed(ctx context.Context, t engine.Task, args actionArgs) error {
	if len(args.Needs) == 0 {
		return nil
	}
	_, tasks, err := a.engine.Get(ctx, t.Change)
	if err != nil {
		return err
	}
	failed := map[string]bool{}
	for _, before := range tasks {
		if before.N >= t.N || before.Kind != taskAction {
			continue
		}
		var other actionArgs
		if err := json.Unmarshal([]byte(before.Args), &other); err != nil {
			return err
		}
		failed[other.ProductID] = before.Status == engine.Failed
	}
	for _, id := range args.Needs {
		if failed[id] {
			return fmt.Errorf("%s of %s waits: it needs %s, which failed", args.Action, args.ProductID, id)
		}
	}
	return nil
}

// tellProgress keeps what a script says of its progress, for whoever looks at
// the product meanwhile. A product that was only demanded has no row yet, and
// nothing is lost with the text.
func (a *Agent) tellProgress(ctx context.Context, product, text string) {
	err := a.store.Update(ctx, origin, func(tx *store.Tx) error {
		return tx.Patch(fleet.ProductsOnClients, fleet.Row{"productId": product, "productType": fleet.LocalbootProduct,
			"clientId": a.id.HostID, "actionProgress": text})
	})
	if err != nil && fleet.CodeOf(err) != fleet.NotFound {
		a.cfg.Log.Warn("progress not kept", "product", product, "error", err)
	}
}

// actionsDone ends a round of actions: what was ready has been used up, the
// next synchronisation says what is left. Before a reboot that actions wait for
// all stays as it is.
func (a *Agent) actionsDone(_ context.Context, t engine.Task) (engine.Outcome, error) {
	return engine.Outcome{Text: "the caches are to be synchronised before the next actions", Commit: func(tx *store.Tx) error {
		if r, waits, err := reboot.Read(tx, a.bootID); err != nil || waits && r.Hold {
			return err
		}
		for _, name := range []string{flags.InstallationPending, flags.ConfigCached, flags.ProductsCached} {
			if err := flags.Set(tx, name, false); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}
