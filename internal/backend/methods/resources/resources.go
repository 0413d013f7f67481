// Package resources holds the methods about nodes in their schedulers: what shall
// be beside what is. They ask the scheduler, and change nothing: what differs is
// the server's to change. An agent has none of this.
package resources

import (
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	watchers := []methods.Role{methods.Operator, methods.Reader}
	hosts := []methods.Param{{Name: "hostIds", Optional: true}}
	return methods.Group{Methods: []*methods.Method{
		{Name: "resource_getList", Roles: watchers, Params: hosts, Do: func(c *methods.Call) (any, error) { return list(c, false) },
			Doc: "Nodes in their schedulers, asked now: {hostId, name, nodeType, scheduler, known, up (it shall take jobs), is (the scheduler's word), epoch, told, why (what differs), properties (KEY=VALUE)}."},
		{Name: "resource_getDiff", Roles: watchers, Params: hosts, Do: func(c *methods.Call) (any, error) { return list(c, true) },
			Doc: "Those of resource_getList that are not in their scheduler as they shall be."},
	}}
}

func list(c *methods.Call, differing bool) (any, error) {
	ask := c.Ports().Resources
	if ask == nil {
		return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: there are no schedulers here", c.Method.Name)
	}
	ids, err := c.Texts("hostIds")
	if err != nil {
		return nil, err
	}
	all, err := ask(c.Context)
	if err != nil {
		return nil, err
	}
	out := []any{}
	err = c.View(func(tx *store.Tx) error {
		visible, err := c.SeenHosts(tx, ids)
		if err != nil {
			return err
		}
		for _, r := range all {
			if !visible[r.HostID] || differing && r.Why == "" {
				continue
			}
			properties := []any{}
			for _, key := range slices.Sorted(maps.Keys(r.Properties)) {
				properties = append(properties, key+"="+r.Properties[key])
			}
			out = append(out, map[string]any{"hostId": r.HostID, "name": r.Name, "nodeType": r.NodeType, "scheduler": r.Scheduler, "known": r.Known, "up": r.Up,
				"is": r.Is, "epoch": r.Epoch, "told": r.Told, "why": r.Why, "properties": properties})
		}
		return nil
	})
	return out, err
}
