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
	last   string // what went wrong
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
	var by, away []netip.Addr
	if len(beside) == 0 {
		s.choice = steer.Choice{}
	} else {
		for _, h := range s.control.ListHostmapHosts(true) {
			for _, a := range h.VpnAddrs {
				pending[a] = true
			}
		}
		var try []netip.Addr
		by, try, away = s.choice.Look(steer.View{Now: now, Up: up, Pending: pending, Known: is.peers})
		for _, a := range try {
			s.control.CreateTunnel(a)
		}
	}
	if !slices.Equal(beside, s.beside) {
		s.log.Info("Beside the mesh", "devices", beside)
		for _, name := range append([]string{s.table.Device}, beside...) {
			if err := steer.Loosen(name); err != nil {
				s.log.Warn("The check of sources stays strict", "error", err)
			}
		}
		s.beside = beside
	}
	s.mu.Lock()
	s.process.besides, s.process.away = beside, away
	s.mu.Unlock()
	through := is.through
	if is.hub {
		through = nil // its kernel knows the ways of its own networks
	}
	routes := steer.Routes(s.device.networks, through, by)
	if slices.Equal(routes, s.routes) && now.Sub(s.set) < refresh {
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
