// Package tunnels holds the methods about who is in a tunnel. Who is there is a fact
// of presence, whoever runs the tunnel; what it carried is known by the server that
// runs it, and by no other. The mesh is a tunnel like the others here; how its nodes
// reach each other is what they told.
package tunnels

import (
	"cmp"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	operators, watchers := []methods.Role{methods.Operator}, []methods.Role{methods.Operator, methods.Reader}
	return methods.Group{Methods: []*methods.Method{
		{Name: "tunnel_getObjects", Roles: watchers, Do: list, Params: []methods.Param{{Name: "hostIds", Optional: true}},
			Doc: "Who is or was last in which tunnel, how it reaches others in it (path: through the server, or how many directly and how many relayed), where it is beside that (lan; lanProblems says why nobody is led to an address), and the bytes that this server's own tunnels carried; they are a minute old at most."},
		{Name: "tunnel_disconnect", Roles: operators, Do: disconnect, Writes: true, Params: []methods.Param{{Name: "hostId"}, {Name: "tunnel"}},
			Doc: "Ends what a host has in a tunnel now. It may come back at once: who shall stay out is revoked. Of the mesh nobody can be put out so."},
	}}
}

func list(c *methods.Call) (any, error) {
	nodes := c.Ports().Nodes
	if nodes == nil {
		return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: there are no tunnels here", c.Method.Name)
	}
	ids, err := c.Texts("hostIds")
	if err != nil {
		return nil, err
	}
	carried := map[string]port.TunnelTraffic{}
	if p := c.Ports().Tunnels; p != nil {
		for _, t := range p.Traffic() {
			carried[t.HostID+" "+t.Tunnel+" "+t.Epoch] = t
		}
	}
	out := []any{}
	err = c.View(func(tx *store.Tx) error {
		visible, err := c.SeenHosts(tx, ids)
		if err != nil {
			return err
		}
		all, err := nodes.Facts(tx)
		if err != nil {
			return err
		}
		reach, err := reaches(c, tx)
		for _, f := range all {
			if !visible[f.HostID] {
				continue
			}
			lan, problems := node.LANs(f.LAN)
			t, here := carried[f.HostID+" "+f.Tunnel+" "+f.Epoch]
			path := ""
			if f.Up && f.Tunnel == mesh.Tunnel {
				path = mesh.Reach(reach[f.HostID])
			} else if f.Up {
				path = "through the server"
			}
			out = append(out, map[string]any{"hostId": f.HostID, "name": f.Name, "nodeType": f.NodeType, "tunnel": f.Tunnel, "up": f.Up, "address": f.Address,
				"clientAddress": f.ClientAddress, "clientName": f.ClientName, "since": f.Since.UTC().Format(time.RFC3339), "epoch": f.Epoch, "path": path,
				"lan": lan, "lanProblems": problems, "here": here, "received": int64(t.Received), "sent": int64(t.Sent)})
		}
		return err
	})
	return out, err
}

// reaches are the words of the paths that nodes told of the mesh, by host.
func reaches(c *methods.Call, tx *store.Tx) (map[string][]string, error) {
	told := c.Ports().Mesh
	if told == nil {
		return nil, nil
	}
	ways, err := told(tx)
	out := map[string][]string{}
	for _, w := range ways {
		out[w.HostID] = append(out[w.HostID], w.Path)
	}
	return out, err
}

func disconnect(c *methods.Call) (any, error) {
	p := c.Ports().Tunnels
	if p == nil {
		return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: there are no tunnels here", c.Method.Name)
	}
	host, err := c.Text("hostId")
	if err != nil {
		return nil, err
	}
	tunnel, err := c.Text("tunnel")
	if err != nil {
		return nil, err
	}
	host = strings.ToLower(host)
	if tunnel == mesh.Tunnel {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot put %s out of the mesh: nodes are in it with each other, and would let it in again at once", host),
			"fernwerk-agent mesh down on the machine leaves it; fernwerk host revoke %s puts it out for good", host)
	}
	return nil, c.Update(func(tx *store.Tx) error {
		if err := c.AboutIn(tx, host); err != nil {
			return err
		}
		if r, err := tx.ByKey(fleet.Hosts, host); err != nil || r == nil {
			return cmp.Or(err, fleet.Errorf(fleet.NotFound, "cannot call %s: there is no host %s", c.Method.Name, host))
		}
		return p.Disconnect(tx, host, tunnel)
	})
}
