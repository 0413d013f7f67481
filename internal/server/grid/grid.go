// Package grid joins what follows from a node that appears: the tunnels and the
// mesh by which it comes, presence, its name, and its place in schedulers. It
// stands above these parts, which do not know each other, and below server.go, to
// which it is one part.
package grid

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/server/ca"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/dns"
	"github.com/fernwerk/fernwerk/internal/server/httpapi"
	"github.com/fernwerk/fernwerk/internal/server/mesh"
	"github.com/fernwerk/fernwerk/internal/server/metrics"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/presence/report"
	"github.com/fernwerk/fernwerk/internal/server/scheduler"
	"github.com/fernwerk/fernwerk/internal/server/tunnel"
)

// Config is what the parts need of the server.
type Config struct {
	config.Config
	ID    string // host id of the config server
	Reach string // HOST:PORT for clients
	// Path is a path in the data folder.
	Path      func(parts ...string) string
	Store     *store.Store
	Leases    *lease.Leases
	Authority *ca.Authority
	// Derive makes a key of the cluster's; Agree a text that all servers of a
	// database have.
	Derive func(label string) [32]byte
	Agree  func(ctx context.Context, name string, mine []byte) ([]byte, error)
	// Host is the host whose certificate a request shows.
	Host func(*http.Request) (string, error)
}

// Grid is these parts, joined.
type Grid struct {
	Config
	Presence *presence.Presence
	Tunnels  *tunnel.All
	mesh     *mesh.Mesh  // nil for none
	names    *dns.Server // nil without [dns]
	batch    *scheduler.Schedulers
	closers  []func() error
}

// Classes are for [store.Open].
func Classes() (all []*fleet.Class) {
	all = append(all, presence.Classes()...)
	all = append(all, tunnel.Classes()...)
	return append(all, mesh.Classes()...)
}

// Open makes the parts, and takes the port of DNS if there is a zone. It starts
// nothing.
func Open(ctx context.Context, c Config) (g *Grid, err error) {
	g = &Grid{Config: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	updated, err := g.updated()
	if err != nil {
		return g, err
	}
	s := c.Scheduler
	g.batch = scheduler.New(scheduler.Config{Use: s.Use, OAR: scheduler.Tools(s.OAR), Slurm: scheduler.Tools(s.Slurm), Exec: scheduler.Program(s.Exec), Store: c.Store, Desired: presence.Desired})
	for _, d := range g.batch.Drivers() {
		updated = append(updated, d)
	}
	g.Presence = presence.New(presence.Config{
		Store: c.Store, Leases: c.Leases, Drivers: updated, Grace: time.Duration(c.TunnelGrace) * time.Second, Log: c.Log,
		Lookup: lookup, NodeType: nodeType,
	})
	if c.DNS.Zone != "" {
		if err := g.openDNS(); err != nil {
			return g, err
		}
	}
	if err := g.openTunnels(); err != nil {
		return g, err
	}
	return g, g.openMesh(ctx)
}

// Close gives back what Open took. Serve's parts have ended then.
func (g *Grid) Close() error {
	var errs []error
	for _, closer := range g.closers {
		errs = append(errs, closer())
	}
	g.closers = nil
	return errors.Join(errs...)
}

// Ports are what the methods need of the parts.
func (g *Grid) Ports(p *methods.Ports) {
	p.Nodes, p.Resources, p.Tunnels = g, g.batch.Compare, g.Tunnels
	if g.mesh != nil {
		p.Mesh = g.mesh.Paths
	}
}

// Parts are what the parts answer by HTTP.
func (g *Grid) Parts(p *httpapi.Parts) {
	p.Tunnel = g.Credentials().Credentials
	p.Mesh = g.askMesh
}

// Add adds the parts to those that run.
func (g *Grid) Add(group *run.Group) {
	group.Add("presence", g.Presence)
	group.Add("reports", &report.Inbox{Folder: g.Path(Reports), Take: g.take, Log: g.Log})
	if g.names != nil {
		group.Add("dns", g.names)
	}
	group.Add("tunnels", g.Tunnels)
	if g.mesh != nil {
		group.Add("mesh", g.mesh)
	}
}

// Count has the parts' numbers asked for.
func (g *Grid) Count(m *metrics.Metrics) {
	number := func(i int) func() float64 {
		return func() float64 {
			ups, downs, stale, changes, failures := g.Presence.Counted()
			return float64([]int64{ups, downs, stale, changes, failures}[i])
		}
	}
	m.Ask(metrics.Counter, "presence_sessions_begun_total", "Sessions of tunnels that began.", number(0))
	m.Ask(metrics.Counter, "presence_sessions_ended_total", "Sessions of tunnels that ended.", number(1))
	m.Ask(metrics.Counter, "presence_stale_reports_total", "Reports of tunnels that changed nothing: repeated, or followed by another session.", number(2))
	m.Ask(metrics.Counter, "presence_changes_total", "Nodes changed in DNS servers and schedulers.", number(3))
	m.Ask(metrics.Counter, "presence_failures_total", "Changes of nodes in DNS servers and schedulers that failed; they are tried again.", number(4))
	for _, c := range g.batch.Counts() {
		m.Ask(kind(c.Grows), c.Name, c.Help, c.Read)
	}
	m.Ask(metrics.Gauge, "presence_late", "DNS servers and schedulers that are not right about nodes, as far as this server drives them.", func() float64 { return float64(len(g.Presence.Late())) })
	if g.names != nil {
		m.Ask(metrics.Counter, "dns_answers_total", "DNS questions answered.", func() float64 { all, _ := g.names.Counted(); return float64(all) })
		m.Ask(metrics.Counter, "dns_refused_total", "DNS questions refused: foreign names, transfers that are not allowed.", func() float64 { _, no := g.names.Counted(); return float64(no) })
	}
	g.Tunnels.Ask(func(grows bool, name, help string, read func() float64) { m.Ask(kind(grows), name, help, read) })
}

func kind(grows bool) metrics.Kind {
	if grows {
		return metrics.Counter
	}
	return metrics.Gauge
}
