package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/dns"
	"github.com/fernwerk/fernwerk/internal/server/dns/update"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
	"github.com/fernwerk/fernwerk/internal/server/metrics"
	"github.com/fernwerk/fernwerk/internal/server/presence"
	"github.com/fernwerk/fernwerk/internal/server/presence/report"
	"github.com/fernwerk/fernwerk/internal/server/scheduler"
)

// nodes is what follows from a tunnel that is up: presence, names, schedulers.
type nodes struct {
	presence *presence.Presence
	names    *dns.Server // nil without [dns]
	batch    *scheduler.Schedulers
	store    *store.Store
	changed  func() // ends the watch of names
	reports  string // folder
	log      *slog.Logger
}

// nodes makes these parts, and takes the port of DNS if there is a zone.
func (s *Server) nodes(st *store.Store, m *member) (*nodes, error) {
	drivers, err := s.drivers()
	if err != nil {
		return nil, err
	}
	c := s.cfg.Scheduler
	batch := scheduler.New(scheduler.Config{Use: c.Use, OAR: scheduler.Tools(c.OAR), Slurm: scheduler.Tools(c.Slurm), Exec: scheduler.Program(c.Exec), Store: st, Desired: presence.Desired})
	for _, d := range batch.Drivers() {
		drivers = append(drivers, d)
	}
	n := &nodes{store: st, batch: batch, reports: s.path(Reports), log: s.cfg.Log, presence: presence.New(presence.Config{
		Store: st, Leases: m.leases, Drivers: drivers, Grace: time.Duration(s.cfg.TunnelGrace) * time.Second, Log: s.cfg.Log,
		Lookup: (&net.Resolver{}).LookupAddr,
		NodeType: func(tx *store.Tx, hostID string) (string, error) {
			r, err := identity.Get(tx, hostID)
			return r.NodeType, err
		},
	})}
	if s.cfg.DNS.Zone != "" {
		n.names, err = s.openDNS(n)
	}
	return n, err
}

// drivers are the other sides that are kept right about nodes.
func (s *Server) drivers() (all []presence.Driver, err error) {
	for _, u := range s.cfg.DNS.Update {
		key := s.cfg.DNS.Keys[u.Key]
		secret, err := key.Secret()
		if err != nil {
			return nil, err
		}
		all = append(all, &update.Driver{Server: u.Address(), Zone: u.Zone, Reverse: u.Reverse,
			KeyName: u.Key, Algorithm: cmp.Or(key.Algorithm, "hmac-sha256"), Secret: secret})
	}
	return all, nil
}

// openDNS takes the port, and makes the server of names.
func (s *Server) openDNS(n *nodes) (*dns.Server, error) {
	c := s.cfg.DNS
	names, aliases, _ := c.Static() // defaults has checked it
	cfg := dns.Config{Zone: c.Zone, Nameservers: c.Nameservers, Contact: c.Contact, Names: names, Aliases: aliases,
		Keys: map[string]dns.Key{}, Load: n.data, Log: s.cfg.Log, Now: s.cfg.Now}
	for name, key := range c.Keys {
		secret, err := key.Secret()
		if err != nil {
			return nil, err
		}
		cfg.Keys[name] = dns.Key{Algorithm: cmp.Or(key.Algorithm, "hmac-sha256"), Secret: secret}
	}
	for _, t := range c.Transfer {
		cfg.Transfer = append(cfg.Transfer, netip.MustParsePrefix(t))
	}
	listen := cmp.Or(c.Listen, config.DefaultDNS)
	tcp, err := net.Listen("tcp", listen)
	if err == nil {
		cfg.TCP = tcp
		s.add(closing(tcp))
		if cfg.UDP, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			s.add(closing(cfg.UDP))
		}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot answer DNS on %s: another program does: %w", listen, err),
			"choose an address of this machine where none does with listen under [dns], such as 10.134.0.1:53")
	case err != nil:
		return nil, fleet.WithHint(fmt.Errorf("cannot answer DNS on %s: %w", listen, err), "choose an address and port that the server may use with listen under [dns]")
	}
	cfg.Changed, n.changed = n.store.Watch(presence.Topic, store.Revisions)
	s.cfg.Log.Info("Answering DNS", "zone", c.Zone, "address", tcp.Addr().String())
	return dns.New(cfg), nil
}

// data is what names are made of.
func (n *nodes) data(ctx context.Context) (d dns.Data, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		types, err := store.All[fleet.NodeType](tx, fleet.NodeTypes, nil)
		if err != nil {
			return err
		}
		for _, t := range types {
			if plan, err := node.PlanOf(t); err == nil && plan != nil {
				d.Plans = append(d.Plans, dns.Plan{Plan: plan, KeepDead: t.DeadName != "remove"})
			}
		}
		all, err := presence.Neighbours(tx)
		for _, nb := range all {
			d.Nodes = append(d.Nodes, dns.Node{Node: nb.Node, LAN: nb.LAN, LanDirect: nb.LanDirect})
		}
		return err
	})
	return d, err
}

// Socket and Reports are the names in the data folder of the socket for this
// machine, and of the folder for reports that waited for the server.
const (
	Socket  = "fernwerkd.sock"
	Reports = "reports"
)

// take takes a report that waited.
func (n *nodes) take(ctx context.Context, r report.Report) error {
	if !r.Up {
		return n.Down(ctx, r.HostID, r.Tunnel, r.Epoch)
	}
	return n.Up(ctx, node.Report{HostID: r.HostID, Tunnel: r.Tunnel, Epoch: r.Epoch, NodeType: r.NodeType,
		Address: r.Address, ClientAddress: r.ClientAddress, Since: time.Unix(r.Since, 0)})
}

// serve adds the parts to those that run.
func (n *nodes) serve(g *run.Group) {
	g.Add("presence", n.presence)
	g.Add("reports", &report.Inbox{Folder: n.reports, Take: n.take, Log: n.log})
	if n.names != nil {
		g.Add("dns", run.Func(func(ctx context.Context) error {
			defer n.changed()
			return n.names.Serve(ctx)
		}))
	}
}

// count has the parts' numbers asked for.
func (n *nodes) count(m *metrics.Metrics) {
	number := func(i int) func() float64 {
		return func() float64 {
			ups, downs, stale, changes, failures := n.presence.Counted()
			return float64([]int64{ups, downs, stale, changes, failures}[i])
		}
	}
	m.Ask(metrics.Counter, "presence_sessions_begun_total", "Sessions of tunnels that began.", number(0))
	m.Ask(metrics.Counter, "presence_sessions_ended_total", "Sessions of tunnels that ended.", number(1))
	m.Ask(metrics.Counter, "presence_stale_reports_total", "Reports of tunnels that changed nothing: repeated, or followed by another session.", number(2))
	m.Ask(metrics.Counter, "presence_changes_total", "Nodes changed in DNS servers and schedulers.", number(3))
	m.Ask(metrics.Counter, "presence_failures_total", "Changes of nodes in DNS servers and schedulers that failed; they are tried again.", number(4))
	for _, c := range n.batch.Counts() {
		m.Ask(map[bool]metrics.Kind{false: metrics.Gauge, true: metrics.Counter}[c.Grows], c.Name, c.Help, c.Read)
	}
	m.Ask(metrics.Gauge, "presence_late", "DNS servers and schedulers that are not right about nodes, as far as this server drives them.", func() float64 { return float64(len(n.presence.Late())) })
	if n.names != nil {
		m.Ask(metrics.Counter, "dns_answers_total", "DNS questions answered.", func() float64 { all, _ := n.names.Counted(); return float64(all) })
		m.Ask(metrics.Counter, "dns_refused_total", "DNS questions refused: foreign names, transfers that are not allowed.", func() float64 { _, no := n.names.Counted(); return float64(no) })
	}
}

// Up is [presence.Presence.Up].
func (n *nodes) Up(ctx context.Context, r node.Report) error {
	return n.presence.Up(ctx, presence.Session{HostID: r.HostID, Tunnel: r.Tunnel, Epoch: r.Epoch, NodeType: r.NodeType,
		Address: r.Address, ClientAddress: r.ClientAddress, Since: r.Since})
}

// Down is [presence.Presence.Down].
func (n *nodes) Down(ctx context.Context, hostID, tunnel, epoch string) error {
	return n.presence.Down(ctx, hostID, tunnel, epoch)
}

// Facts are the sessions of all hosts.
func (n *nodes) Facts(tx *store.Tx) ([]node.Fact, error) { return presence.Facts(tx, "") }

// Names are those that the server answers for, as they are now.
func (n *nodes) Names(ctx context.Context) ([]node.Record, error) {
	if n.names == nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot list names: this server answers for no zone"), "set zone under [dns] in its configuration")
	}
	if err := n.names.Reload(ctx); err != nil {
		return nil, err
	}
	return n.names.Records(), nil
}
