package grid

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/internal/server/dns"
	"github.com/fernwerk/fernwerk/internal/server/dns/update"
	"github.com/fernwerk/fernwerk/internal/server/presence"
)

// updated are the other servers of names that are kept right about nodes.
func (g *Grid) updated() (all []presence.Driver, err error) {
	for _, u := range g.DNS.Update {
		key := g.DNS.Keys[u.Key]
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
func (g *Grid) openDNS() error {
	c := g.DNS
	names, aliases, _ := c.Static() // defaults has checked it
	cfg := dns.Config{Zone: c.Zone, Nameservers: c.Nameservers, Contact: c.Contact, Names: names, Aliases: aliases,
		Keys: map[string]dns.Key{}, Load: g.data, Log: g.Log, Now: g.Now}
	for name, key := range c.Keys {
		secret, err := key.Secret()
		if err != nil {
			return err
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
		g.closes(tcp)
		if cfg.UDP, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			g.closes(cfg.UDP)
		}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot answer DNS on %s: another program does: %w", listen, err),
			"choose an address of this machine where none does with listen under [dns], such as 10.134.0.1:53")
	case err != nil:
		return fleet.WithHint(fmt.Errorf("cannot answer DNS on %s: %w", listen, err), "choose an address and port that the server may use with listen under [dns]")
	}
	changed, stop := g.Store.Watch(presence.Topic, store.Revisions)
	cfg.Changed = changed
	g.closers = append(g.closers, func() error { stop(); return nil })
	g.Log.Info("Answering DNS", "zone", c.Zone, "address", tcp.Addr().String())
	g.names = dns.New(cfg)
	return nil
}

// closes has a listener closed at the end, which whoever serves on it may have
// closed.
func (g *Grid) closes(l interface{ Close() error }) {
	g.closers = append(g.closers, func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
}

// data is what names are made of.
func (g *Grid) data(ctx context.Context) (d dns.Data, err error) {
	err = g.Store.View(ctx, func(tx *store.Tx) error {
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

// Names are those that the server answers for, as they are now.
func (g *Grid) Names(ctx context.Context) ([]node.Record, error) {
	if g.names == nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot list names: this server answers for no zone"), "set zone under [dns] in its configuration")
	}
	if err := g.names.Reload(ctx); err != nil {
		return nil, err
	}
	return g.names.Records(), nil
}
