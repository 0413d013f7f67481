package server

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/metrics"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/scheduler"
)

// resources are the schedulers, with what shall be there.
type resources struct {
	*scheduler.Schedulers
	store *store.Store
}

// schedulers makes the drivers that the configuration names.
func (s *Server) schedulers(st *store.Store) *resources {
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	tools := func(t config.SchedulerTools) scheduler.Tools {
		return scheduler.Tools{Bin: t.Bin, Prefix: t.Prefix, Limit: seconds(t.Limit)}
	}
	c := s.cfg.Scheduler
	return &resources{store: st, Schedulers: scheduler.New(scheduler.Config{
		Use: c.Use, OAR: tools(c.OAR), Slurm: tools(c.Slurm), Program: c.Exec.Program, Limit: seconds(c.Exec.Limit),
		Cores: func(ctx context.Context) (map[string]int, error) { return cores(ctx, st) },
	})}
}

// drivers are those for presence.
func (r *resources) drivers() (all []presence.Driver) {
	for _, d := range r.Drivers() {
		all = append(all, d)
	}
	return all
}

// cores are what hosts reported of their processors.
func cores(ctx context.Context, st *store.Store) (map[string]int, error) {
	all := map[string]int{}
	err := st.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Select(fleet.AuditHardwareOnHosts, fleet.Filter{"hardwareClass": []string{"PROCESSOR"}, "state": int64(1)})
		for _, row := range rows {
			if n, err := fleet.Number(row["numberOfCores"]); err == nil && n > 0 {
				all[row.Str("hostId")] += int(n)
			}
		}
		return err
	})
	return all, err
}

// compare sets what shall be beside what is.
func (r *resources) compare(ctx context.Context) ([]node.Resource, error) {
	return r.Compare(ctx, func() (want []node.Node, err error) {
		err = r.store.View(ctx, func(tx *store.Tx) error {
			for n, err := range presence.Desired(tx) {
				if err != nil {
					return err
				}
				want = append(want, n)
			}
			return nil
		})
		return want, err
	})
}

// count has the numbers asked for.
func (r *resources) count(m *metrics.Metrics) {
	m.Ask(metrics.Counter, "scheduler_calls_total", "Programs of schedulers that were run.", func() float64 { n, _, _, _ := r.Counted(); return float64(n) })
	m.Ask(metrics.Counter, "scheduler_call_failures_total", "Programs of schedulers that failed, or took too long.", func() float64 { _, n, _, _ := r.Counted(); return float64(n) })
	m.Ask(metrics.Counter, "scheduler_call_seconds_total", "Time that programs of schedulers took.", func() float64 { _, _, took, _ := r.Counted(); return took.Seconds() })
	m.Ask(metrics.Gauge, "scheduler_waiting", "Nodes that are not in the scheduler as they shall be, of those that this server drives.", func() float64 { _, _, _, n := r.Counted(); return float64(n) })
}
