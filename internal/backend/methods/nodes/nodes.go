// Package nodes holds the methods about nodes: what their tunnels report, and
// their names.
//
// Only administrators report for a tunnel: who does says where a node is, and so
// where its name leads. An agent has none of this.
package nodes

import (
	"net/netip"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	administrators, watchers := []methods.Role{}, []methods.Role{methods.Operator, methods.Reader}
	need, may := func(name string) methods.Param { return methods.Param{Name: name} }, func(name string) methods.Param { return methods.Param{Name: name, Optional: true} }
	return methods.Group{Methods: []*methods.Method{
		{Name: "presence_up", Roles: administrators, Do: up, Writes: true, Params: []methods.Param{need("hostId"), need("tunnel"), need("epoch"), need("since"), may("address"), may("clientAddress"), may("nodeType")},
			Doc: "Reports that a tunnel's session began, at since (seconds of Unix time). What is stale or repeated changes nothing."},
		{Name: "presence_down", Roles: administrators, Do: down, Writes: true, Params: []methods.Param{need("hostId"), need("tunnel"), need("epoch")},
			Doc: "Reports that this session ended, and no other. It counts after a grace time."},
		{Name: "presence_getObjects", Roles: watchers, Do: facts, Params: []methods.Param{may("hostIds")},
			Doc: "The tunnels of nodes: which is up, at which address, since when, and where the node is beside it (lan)."},
		{Name: "dns_getRecords", Roles: administrators, Do: names,
			Doc: "The names of nodes, of hosts and of the configuration, what neighbours are told instead (for), and names that two want. Names of addresses that nobody has are computed and not listed."},
	}}
}

func portOf(c *methods.Call) (port.Nodes, error) {
	if p := c.Ports().Nodes; p != nil {
		return p, nil
	}
	return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: there are no nodes here", c.Method.Name)
}

func texts(c *methods.Call, to map[string]*string) (err error) {
	for name, s := range to {
		if *s, err = c.Text(name); err != nil {
			return err
		}
	}
	return nil
}

func up(c *methods.Call) (any, error) {
	p, err := portOf(c)
	if err != nil {
		return nil, err
	}
	var s node.Report
	var address, client string
	if err := texts(c, map[string]*string{"hostId": &s.HostID, "tunnel": &s.Tunnel, "epoch": &s.Epoch, "nodeType": &s.NodeType, "address": &address, "clientAddress": &client}); err != nil {
		return nil, err
	}
	since, err := fleet.Number(c.Args["since"])
	if err != nil || since <= 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: since is no time", c.Method.Name)
	}
	s.Since = time.Unix(since, 0)
	for text, to := range map[string]*netip.Addr{address: &s.Address, client: &s.ClientAddress} {
		if text == "" {
			continue
		}
		if *to, err = netip.ParseAddr(text); err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %.60q is not an address", c.Method.Name, text)
		}
	}
	return nil, p.Up(c.Context, s)
}

func down(c *methods.Call) (any, error) {
	p, err := portOf(c)
	if err != nil {
		return nil, err
	}
	var hostID, tunnel, epoch string
	if err := texts(c, map[string]*string{"hostId": &hostID, "tunnel": &tunnel, "epoch": &epoch}); err != nil {
		return nil, err
	}
	return nil, p.Down(c.Context, hostID, tunnel, epoch)
}

func facts(c *methods.Call) (any, error) {
	p, err := portOf(c)
	if err != nil {
		return nil, err
	}
	ids, err := c.Texts("hostIds")
	if err != nil {
		return nil, err
	}
	out := []any{}
	err = c.View(func(tx *store.Tx) error {
		visible, err := c.SeenHosts(tx, ids)
		if err != nil {
			return err
		}
		all, err := p.Facts(tx)
		for _, f := range all {
			if visible[f.HostID] {
				lan, problems := node.LANs(f.LAN)
				out = append(out, map[string]any{"hostId": f.HostID, "name": f.Name, "nodeType": f.NodeType, "tunnel": f.Tunnel, "up": f.Up, "address": f.Address,
					"clientAddress": f.ClientAddress, "clientName": f.ClientName, "since": f.Since.UTC().Format(time.RFC3339), "epoch": f.Epoch, "lan": lan, "lanProblems": problems})
			}
		}
		return err
	})
	return out, err
}

func names(c *methods.Call) (any, error) {
	p, err := portOf(c)
	if err != nil {
		return nil, err
	}
	all, err := p.Names(c.Context)
	out := []any{}
	for _, r := range all {
		out = append(out, map[string]any{"name": r.Name, "type": r.Type, "value": r.Value, "ttl": r.TTL, "of": r.Of, "for": r.For, "problem": r.Problem})
	}
	return out, err
}
