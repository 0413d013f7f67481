package agent

import (
	"context"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/configcache"
	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/agent/flags"
	"github.com/fernwerk/fernwerk/internal/agent/platform"
	"github.com/fernwerk/fernwerk/internal/agent/productcache"
	"github.com/fernwerk/fernwerk/internal/agent/timeline"
	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// Uptime implements [control.Agent].
func (a *Agent) Uptime() (time.Duration, error) { return platform.Uptime() }

// shown is how many changes the status lists.
const shown = 10

// Status implements [control.Agent].
func (a *Agent) Status(ctx context.Context) (control.Status, error) {
	st := control.Status{Version: a.cfg.Version, HostID: a.id.HostID, Server: a.id.Server, BootID: a.bootID, Trust: control.TrustStatus(a.trust.Status())}
	err := a.store.View(ctx, func(tx *store.Tx) error {
		var err error
		if st.Flags, err = flags.All(tx); err != nil {
			return err
		}
		cached, _, err := configcache.Load(tx)
		if err != nil {
			return err
		}
		st.Cache.Pulled, st.Cache.Pushed = cached.Pulled, cached.Pushed
		unsent, err := tx.Since(cached.Mark)
		if err != nil {
			return err
		}
		st.Unsent = len(unsent)
		if st.Reboot, err = a.Part.In(tx); err != nil {
			return err
		}
		if err := addChanges(tx, &st); err != nil {
			return err
		}
		return a.addCache(tx, &st)
	})
	return st, err
}

func addChanges(tx *store.Tx, st *control.Status) error {
	changes, err := store.All[engine.Change](tx, engine.Changes, nil)
	if err != nil {
		return err
	}
	slices.Reverse(changes)
	for _, c := range changes {
		if c.Status == engine.Waiting {
			st.Waiting++
		}
		if c.Status == engine.Doing || c.Status == engine.Waiting {
			st.Running, st.Event = c.ID, c.Event // the oldest, which is the one that runs, comes last
		}
		if len(st.Changes) < shown {
			st.Changes = append(st.Changes, control.ChangeStatus{ID: c.ID, Event: c.Event, Status: string(c.Status), Text: c.Text})
		}
	}
	if st.Running == "" {
		return nil
	}
	tasks, err := engine.TasksOf(tx, st.Running)
	for _, t := range tasks {
		if t.Status == engine.Doing {
			st.Task = t.Kind
		}
	}
	return err
}

// addCache tells of the products that are wanted or held, with the progress of
// those being fetched.
func (a *Agent) addCache(tx *store.Tx, st *control.Status) error {
	held, err := store.All[productcache.Product](tx, productcache.Products, nil)
	if err != nil {
		return err
	}
	p, _ := a.planIn(tx, "") // what waits in a circle is no product to cache
	progress := a.products.Progress()
	a.mu.Lock()
	st.Cache.Depot = a.depot
	a.mu.Unlock()
	for _, h := range held {
		ps := control.ProductStatus{ProductID: h.ID, ProductVersion: h.ProductVersion, PackageVersion: h.PackageVersion,
			BytesDone: h.Bytes, BytesTotal: h.Bytes, From: h.From, Checked: h.Checked}
		ps.Cached = h.ProductVersion != "" // else it was found damaged
		for _, s := range p.Steps {
			if string(s.ProductID) == h.ID && (s.ProductVersion != h.ProductVersion || s.PackageVersion != h.PackageVersion) {
				ps.Cached = false
			}
		}
		st.Cache.Products = append(st.Cache.Products, ps)
	}
	for _, s := range p.Steps {
		if !slices.ContainsFunc(held, func(h productcache.Product) bool { return h.ID == string(s.ProductID) }) {
			st.Cache.Products = append(st.Cache.Products, control.ProductStatus{ProductID: string(s.ProductID), ProductVersion: s.ProductVersion, PackageVersion: s.PackageVersion})
		}
	}
	for i, ps := range st.Cache.Products {
		if pr, ok := progress[ps.ProductID]; ok {
			st.Cache.Products[i].BytesDone, st.Cache.Products[i].BytesTotal = pr.BytesDone, pr.BytesTotal
			st.Cache.FilesDone += int64(pr.FilesDone)
			st.Cache.FilesTotal += int64(pr.FilesTotal)
			st.Cache.WireBytes += pr.WireBytes
		}
		st.Cache.BytesDone += st.Cache.Products[i].BytesDone
		st.Cache.BytesTotal += st.Cache.Products[i].BytesTotal
	}
	return nil
}

// Change implements [control.Agent].
func (a *Agent) Change(ctx context.Context, id string) (control.ChangeDetail, error) {
	c, tasks, err := a.engine.Get(ctx, id)
	if err != nil {
		return control.ChangeDetail{}, err
	}
	d := control.ChangeDetail{ChangeStatus: control.ChangeStatus{ID: c.ID, Event: c.Event, Status: string(c.Status), Text: c.Text}}
	for _, t := range tasks {
		d.Tasks = append(d.Tasks, control.TaskStatus{Kind: t.Kind, Args: t.Args, Status: string(t.Status), Attempts: t.Attempts, Text: t.Text})
	}
	return d, nil
}

// Timeline implements [control.Agent].
func (a *Agent) Timeline(ctx context.Context, limit int) (list []control.Line, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error {
		entries, err := timeline.Read(tx, limit)
		for _, e := range entries {
			list = append(list, control.Line{At: e.At, Category: string(e.Category), Text: e.Text, Change: e.Change, ProductID: string(e.Product)})
		}
		return err
	})
	return list, err
}
