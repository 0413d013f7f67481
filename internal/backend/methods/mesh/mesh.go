// Package mesh holds the method about the mesh of nodes: who reaches whom, and how.
// An agent has none of it.
package mesh

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Methods: []*methods.Method{
		{Name: "mesh_getPaths", Roles: []methods.Role{methods.Operator, methods.Reader}, Do: paths, Params: []methods.Param{{Name: "hostIds", Optional: true}},
			Doc: "How nodes in the mesh reach each other, directly or relayed, and why, as they told at their last question."},
	}}
}

func paths(c *methods.Call) (any, error) {
	p := c.Ports().Mesh
	if p == nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot call %s: there is no mesh here", c.Method.Name), "set enabled = true under [mesh] in the server's configuration")
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
		all, err := p(tx)
		for _, f := range all {
			if visible[f.HostID] {
				out = append(out, map[string]any{"hostId": f.HostID, "address": f.Address, "peer": f.Peer, "peerAddress": f.PeerAddress, "path": f.Path, "why": f.Why, "at": f.At})
			}
		}
		return err
	})
	return out, err
}
