package mesh

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	plans "github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/kit/deadman"
	"github.com/fernwerk/fernwerk/internal/kit/nebula"
	"github.com/fernwerk/fernwerk/internal/kit/nebula/certs"
)

const (
	// look is how often the hub's process is looked at, and what it is to know.
	look = 5 * time.Second
	// misses is how often the hub may miss a node before that is down: its tunnels
	// end by themselves some fifteen seconds after the last word.
	misses = 2
	sweep  = 6 * time.Hour
)

// Serve runs the hub until ctx ends. Of several servers on one database one does: all
// have the hub's mesh address, and nodes know the places of all, so that they find
// whichever it is.
func (m *Mesh) Serve(ctx context.Context) error {
	for ctx.Err() == nil {
		err := m.Leases.Do(ctx, "mesh", m.ServerID, func(ctx context.Context, h *lease.Held) error {
			m.hubs.Store(true)
			defer m.hubs.Store(false)
			return m.hub(ctx, h)
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil { // another server is the hub now, or the database is away
			m.Log.Warn("The mesh's hub is another server's, or waits for the database", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(look):
			}
		}
	}
	return nil
}

const (
	untilFile = "mesh.until"
	// earlier is how long before the end of the lease the guard begins to end the process
	// of a server that died, or hangs.
	earlier = 8 * time.Second
	alone   = time.Hour
)

// guarded has the process end when another server is the hub, whatever becomes of this
// one; see package deadman.
func (h *hub) guarded(ctx context.Context) error {
	if len(h.Guard) == 0 {
		return nil
	}
	status, err := h.process.Status(ctx)
	if err != nil { // it does not run
		return nil
	}
	left := alone
	others, err := h.Others(ctx)
	if err != nil {
		return err
	}
	if others {
		if left, err = h.lease.Left(ctx); err != nil {
			return err
		}
		left -= earlier
	}
	path := filepath.Join(h.Dir, untilFile)
	if err := deadman.Allow(path, left); err != nil {
		return err
	}
	if status.PID == h.pid {
		return nil
	}
	h.pid = status.PID
	return deadman.Start(h.Guard, path, h.pid)
}

func (m *Mesh) hub(ctx context.Context, held *lease.Held) error {
	process := &nebula.Control{Dir: m.Dir, Program: m.Program, Log: m.Log}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := process.Stop(stop); err != nil {
			m.Log.Warn("The mesh's hub runs on", "error", err)
		}
	}()
	wake, end := m.Store.Watch(m.Ended, topic)
	defer end()
	tick := time.NewTicker(look)
	defer tick.Stop()
	h := &hub{Mesh: m, process: process, lease: held}
	last := ""
	swept := time.Time{}
	for {
		err := h.run(ctx)
		if text := errorText(err); text != last && ctx.Err() == nil {
			if last = text; err != nil {
				m.Log.Warn("The mesh has no hub", "error", err, "hint", fleet.HintOf(err))
			}
		}
		if gerr := h.guarded(ctx); gerr != nil && ctx.Err() == nil {
			m.Log.Warn("The mesh's hub has no guard", "error", gerr)
		}
		if err == nil {
			err = h.watch(ctx)
		}
		if err != nil && ctx.Err() == nil {
			m.Log.Debug("The mesh's hub was not looked at", "error", err)
		}
		if err := m.Advance(ctx); err != nil && ctx.Err() == nil {
			m.Log.Warn("The mesh's authority is not replaced", "error", err)
		}
		if now := m.Now(); now.Sub(swept) > sweep && m.Sweep(ctx) == nil {
			swept = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
			m.forget()
		case <-m.came:
		case <-tick.C:
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// hub is the hub's process with its certificate.
type hub struct {
	*Mesh
	process  *nebula.Control
	text     string // the certificate
	networks []netip.Prefix
	renew    time.Time
	signer   *certs.Authority
	lease    *lease.Held
	pid      int                 // of the process that has a guard
	watched  map[string]*watched // by host
	said     string              // of the process's problem
}

// run has the process run as it is to: in all networks, with who counts no more.
func (h *hub) run(ctx context.Context) error {
	now := h.Now()
	config := nebula.Config{Hub: true, Bare: h.Bare, Port: h.Port, Device: h.Device, Inbound: []nebula.Rule{
		{Proto: "icmp", Ports: "any", Group: "any"}, {Proto: "any", Ports: "53", Group: "any"}}}
	for _, r := range h.Allow {
		if r.To == mesh.ServerGroup {
			config.Inbound = append(config.Inbound, nebula.Rule{Proto: r.Proto, Ports: r.Ports, Group: r.From})
		}
	}
	var networks []netip.Prefix
	var ring *certs.Ring
	err := h.Store.View(ctx, func(tx *store.Tx) error {
		types, err := h.types(tx)
		if err != nil {
			return err
		}
		for _, t := range types {
			plan, err := plans.PlanOf(t)
			if err != nil {
				return err
			}
			if at := netip.PrefixFrom(plan.Server(), plan.Prefix().Bits()); !slices.Contains(networks, at) {
				networks = append(networks, at)
			}
		}
		if config.Blocked, err = h.blocked(tx, now); err != nil {
			return err
		}
		if ring, err = h.authorities(tx); err != nil {
			return err
		}
		return h.passOn(tx, &config, types)
	})
	if err != nil {
		return err
	}
	if len(networks) == 0 {
		return h.process.Stop(ctx)
	}
	config.CA = ring.Bundle()
	other := !slices.Equal(networks, h.networks)
	if other || now.After(h.renew) || !h.signer.Is(ring.Signing()) {
		key, err := nebula.Key(h.Dir, false)
		if err != nil {
			return err
		}
		until := now.Add(30 * 24 * time.Hour)
		if h.text, _, err = ring.Signing().Sign(certs.Node{Name: h.ServerID, Networks: networks, Groups: []string{mesh.ServerGroup}, Key: key,
			From: now.Add(-time.Hour), Until: until}); err != nil {
			return err
		}
		h.renew, h.signer = now.Add(15*24*time.Hour), ring.Signing()
	}
	config.Certificate = h.text
	// One that runs with an address less, or is of a former server, starts anew.
	if err := h.process.Apply(ctx, config, other); err != nil {
		return fleet.WithHint(err, "install fernwerk-mesh beside fernwerkd, or name it with program under [mesh]; it wants a TUN device, or no_interface = true")
	}
	h.networks = networks
	return nil
}

// watch learns from the process which nodes are there, and from where.
func (h *hub) watch(ctx context.Context) error {
	if len(h.networks) == 0 {
		return nil
	}
	status, err := h.process.Status(ctx)
	if err != nil {
		return err
	}
	h.tell(status)
	seen := map[netip.Addr]netip.AddrPort{}
	for _, p := range status.Peers {
		for _, a := range p.Address {
			seen[a] = netip.AddrPortFrom(p.Remote.Addr().Unmap(), p.Remote.Port())
		}
	}
	h.mu.Lock()
	h.seen = seen
	h.mu.Unlock()
	gone, err := h.missing(ctx, seen)
	if err != nil {
		return err
	}
	for _, host := range gone {
		if err := h.down(ctx, host); err != nil {
			return err
		}
	}
	return nil
}

// watched is a session of a node that is up, whichever server told presence.
type watched struct {
	epoch  string
	seen   bool // by this hub
	missed int  // how often it was not, since
}

// missing are nodes that were there and are no more.
func (h *hub) missing(ctx context.Context, seen map[netip.Addr]netip.AddrPort) (gone []string, err error) {
	var all []node
	if err := h.Store.View(ctx, func(tx *store.Tx) (err error) { all, err = store.All[node](tx, nodes, nil); return err }); err != nil {
		return nil, err
	}
	now := map[string]*watched{}
	for _, n := range all {
		a, err := netip.ParseAddr(n.Address)
		if n.Epoch == "" || err != nil {
			continue
		}
		w := h.watched[n.HostID]
		if w == nil || w.epoch != n.Epoch {
			w = &watched{epoch: n.Epoch}
		}
		now[n.HostID] = w
		switch _, there := seen[a]; {
		case there:
			w.seen, w.missed = true, 0
		case w.seen:
			if w.missed++; w.missed > misses {
				gone = append(gone, n.HostID)
			}
		}
	}
	h.watched = now
	return gone, nil
}
