package server

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/server/access"
	"github.com/fernwerk/fernwerk/internal/server/bus"
	"github.com/fernwerk/fernwerk/internal/server/health"
	"github.com/fernwerk/fernwerk/internal/server/metrics"
	"github.com/fernwerk/fernwerk/internal/server/trust"
)

// watch makes what says how the server is: probes of what it needs, and
// counters.
func (s *Server) watch(st *store.Store, accounts *access.Access, messages *bus.Bus, signed *trust.Trust) (*health.Health, *metrics.Metrics) {
	probes := []health.Probe{health.Database(st, s.cfg.Name()), health.Folder("data folder", s.cfg.Data)}
	health.Tidy(s.cfg.Data)
	if s.cfg.Depot != "" { // perhaps another disk
		probes = append(probes, health.Folder("depot", s.cfg.Depot))
		health.Tidy(s.cfg.Depot)
	}
	well := health.New(s.cfg.Log, probes...)

	var known []string
	for _, m := range catalog.Table() {
		known = append(known, m.Name)
	}
	counts := metrics.New(s.cfg.Version, s.cfg.Name(), known)
	counts.Ask(metrics.Counter, "store_commits_total", "Transactions committed; each holds a group of updates.", func() float64 { n, _, _ := st.Stats(); return float64(n) })
	counts.Ask(metrics.Counter, "store_updates_total", "Updates committed; by store_commits_total this is the size of a group.", func() float64 { _, n, _ := st.Stats(); return float64(n) })
	counts.Ask(metrics.Gauge, "store_waiting", "Updates that wait for their group.", func() float64 { _, _, n := st.Stats(); return float64(n) })
	counts.Ask(metrics.Counter, "sessions_begun_total", "Logins that began a session.", func() float64 { n, _, _ := accounts.Count(); return float64(n) })
	counts.Ask(metrics.Counter, "sessions_resumed_total", "Requests with a session that is good.", func() float64 { _, n, _ := accounts.Count(); return float64(n) })
	counts.Ask(metrics.Counter, "sessions_ended_total", "Sessions ended before their time: logouts, and administrators.", func() float64 { _, _, n := accounts.Count(); return float64(n) })
	counts.Ask(metrics.Gauge, "bus_connections", "Connections to the message bus at this server: hosts, and people's programs.", func() float64 { return float64(messages.Open()) })
	counts.Ask(metrics.Gauge, "trust_timestamp_expires_seconds", "When the timestamp of content trust ends, in seconds since 1970; 0 if nothing is signed.", func() float64 {
		if at := signed.Expires(); !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	})
	counts.Ask(metrics.Gauge, "healthy", "1 while the server can do its work: what /healthz says.", func() float64 {
		if _, err := well.Check(context.Background()); err != nil {
			return 0
		}
		return 1
	})
	return well, counts
}
