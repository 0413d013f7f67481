package child

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/nebula"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/steer"
)

// glance is how often it is looked who is reached by the mesh, and what is beside it;
// refresh how often routes are compared with the kernel's although nothing changed.
const (
	glance  = 500 * time.Millisecond
	refresh = 10 * time.Second
)

// said is what the configuration says beside nebula's.
type said struct {
	peers   []netip.Addr
	through []netip.Prefix
	gate    netip.Addr
	hub     bool
	hubs    []netip.Addr
}

func (p *process) said() (s said) {
	for _, text := range p.config.GetStringSlice(nebula.OwnKey+".peers", nil) {
		if a, err := netip.ParseAddr(text); err == nil {
			s.peers = append(s.peers, a)
		}
	}
	for _, text := range p.config.GetStringSlice(nebula.OwnKey+".through", nil) {
		if n, err := netip.ParsePrefix(text); err == nil {
			s.through = append(s.through, n)
		}
	}
	for _, text := range p.config.GetStringSlice("lighthouse.hosts", nil) {
		if a, err := netip.ParseAddr(text); err == nil {
			s.hubs = append(s.hubs, a)
		}
	}
	s.gate, _ = netip.ParseAddr(p.config.GetString(nebula.OwnKey+".gate", ""))
	s.hub = p.config.GetBool("relay.am_relay", false)
	return s
}

// steer keeps routes right until ctx ends.
func (p *process) steer(ctx context.Context, d *device) {
	if !steer.Can || p.config.GetBool("tun.disabled", false) {
		return
	}
	s := steering{process: p, device: d, table: steer.Table{Device: d.Name()}}
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		s.look(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

type steering struct {
	*process
	device *device
	table  steer.Table
	choice steer.Choice
	routes []steer.Route
	set    time.Time
	beside []string
	urgent int    // looks with a comparison, after another device came or went
	last   string // what went wrong
	deaf   string // and with questions
}

func (s *steering) look(now time.Time) {
	is := s.said()
	up, pending := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, h := range s.control.ListHostmapHosts(false) {
		for _, a := range h.VpnAddrs {
			up[a] = true
		}
	}
	direct := map[netip.Addr]bool{}
	for a := range up {
		direct[a] = true
	}
	for _, a := range is.peers {
		direct[a] = true
	}
	w := &wrapping{own: s.device.networks, hub: is.hub, gate: is.gate, through: is.through, direct: direct}
	if len(is.through) == 0 {
		w = nil
	}
	s.device.wrap.Store(w)

	beside := steer.Others(s.table.Device, s.device.networks)
	var way steer.Way
	probes := &s.device.probes
	if len(beside) == 0 {
		s.choice = steer.Choice{}
		probes.heard.Store(nil)
		probes.sent.Store(nil)
	} else {
		follow(&probes.heard, up)
		follow(&probes.sent, up)
		for _, h := range s.control.ListHostmapHosts(true) {
			for _, a := range h.VpnAddrs {
				pending[a] = true
			}
		}
		way = s.choice.Look(steer.View{Now: now, Up: up, Pending: pending, Heard: probes.heard.Load().all(), Sent: probes.sent.Load().all(), Known: is.peers})
		s.follow(way, is)
	}
	by, away := way.By, way.Away
	if !slices.Equal(beside, s.beside) {
		s.log.Info("Beside the mesh", "devices", beside)
		for _, name := range append([]string{s.table.Device}, beside...) {
			if err := steer.Loosen(name); err != nil {
				s.log.Warn("The check of sources stays strict", "error", err)
			}
		}
		s.beside, s.urgent = beside, 6
	}
	s.urgent = max(0, s.urgent-1)
	problem := ""
	if is.hub && len(is.through) > 0 {
		for _, name := range append([]string{s.table.Device}, beside...) {
			if !steer.Forwards(name) {
				problem = "the machine does not forward what comes by " + name + ": nodes of the mesh reach neither those of another tunnel nor networks behind this machine"
			}
		}
	}
	s.mu.Lock()
	s.process.besides, s.process.away, s.process.problem = beside, away, problem
	s.mu.Unlock()
	through := is.through
	if is.hub {
		through = nil // its kernel knows the ways of its own networks
	}
	routes := steer.Routes(s.device.networks, through, by)
	if slices.Equal(routes, s.routes) && now.Sub(s.set) < refresh && s.urgent == 0 {
		return
	}
	text := ""
	if err := s.table.Set(routes); err != nil {
		if text = err.Error(); text != s.last {
			s.log.Warn("Routes are not right", "error", err)
		}
	} else {
		s.routes = routes
	}
	s.last, s.set = text, now
}

// follow does what follows of a look.
func (s *steering) follow(way steer.Way, is said) {
	for _, a := range way.Drop {
		// The hub passes on for others, and a node has no other way to it.
		if !is.hub && !slices.Contains(is.hubs, a) {
			s.log.Info("A tunnel in which nobody answers is made anew", "peer", a)
			s.control.CloseTunnel(a, false)
			s.control.CreateTunnel(a)
		}
	}
	for _, a := range way.Try {
		s.control.CreateTunnel(a)
	}
	for _, a := range way.Ask {
		i := slices.IndexFunc(s.device.networks, func(o netip.Prefix) bool { return o.Masked().Contains(a) })
		if i < 0 {
			continue
		}
		if err := s.device.probes.send(s.table.Device, s.device.networks[i].Addr(), a, question); err != nil && err.Error() != s.deaf {
			s.deaf = err.Error()
			s.log.Warn("Nobody can be asked in the mesh", "error", err)
		}
	}
}
