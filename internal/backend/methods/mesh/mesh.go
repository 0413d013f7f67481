// Package mesh holds the methods about the mesh of nodes: who reaches whom, and how, and
// who signs for them.
// An agent has none of it.
package mesh

import (
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Methods: []*methods.Method{
		{Name: "mesh_getAuthority", Roles: []methods.Role{methods.Operator, methods.Reader}, Do: authority,
			Doc: "Until when the mesh's authority is good, and, while another takes its place, how far that is and which hosts it waits for: stage is settled, learning (nodes hear of the next one) or moving (nodes get its certificates)."},
		{Name: "mesh_rotateAuthority", Roles: []methods.Role{methods.Administrator}, Do: rotate, Writes: true, Params: []methods.Param{{Name: "finish", Optional: true}},
			Doc: "Has another authority take the place of the mesh's, which goes on by itself; or, with finish, drops the old one without waiting: the hosts that are named have to ask before they are in the mesh again."},
		{Name: "mesh_getPaths", Roles: []methods.Role{methods.Operator, methods.Reader}, Do: paths, Params: []methods.Param{{Name: "hostIds", Optional: true}},
			Doc: "How nodes in the mesh reach each other, directly or relayed, by which place, and why, as they told at their last question."},
	}}
}

// none is that there is no mesh.
func none(c *methods.Call) error {
	return fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot call %s: there is no mesh here", c.Method.Name), "set enabled = true under [mesh] in the server's configuration")
}

func authority(c *methods.Call) (out any, err error) {
	p := c.Ports().MeshAuthority
	if p == nil {
		return nil, none(c)
	}
	err = c.View(func(tx *store.Tx) error {
		r, err := p.Rotation(tx)
		if err != nil {
			return err
		}
		visible, err := c.SeenHosts(tx, nil)
		r.Waiting = slices.DeleteFunc(r.Waiting, func(id string) bool { return !visible[id] })
		out = shown(r)
		return err
	})
	return out, err
}

func rotate(c *methods.Call) (out any, err error) {
	p := c.Ports().MeshAuthority
	if p == nil {
		return nil, none(c)
	}
	err = c.Update(func(tx *store.Tx) error {
		r, err := p.Rotate(tx, c.Flag("finish", false))
		out = shown(r)
		return err
	})
	return out, err
}

func shown(r mesh.Rotation) map[string]any {
	waiting := []any{}
	for _, id := range r.Waiting {
		waiting = append(waiting, id)
	}
	return map[string]any{"stage": string(r.Stage), "until": r.Until, "waiting": waiting}
}

func paths(c *methods.Call) (any, error) {
	p := c.Ports().Mesh
	if p == nil {
		return nil, none(c)
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
				out = append(out, map[string]any{"hostId": f.HostID, "address": f.Address, "peer": f.Peer, "peerAddress": f.PeerAddress, "path": f.Path, "via": f.Via, "why": f.Why, "at": f.At})
			}
		}
		return err
	})
	return out, err
}
