// Package workingcopy holds the two methods by which a client's working copy is
// brought up to date and its changes come back; package replica does the work.
package workingcopy

import (
	"bytes"
	"encoding/json"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/licence"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table: two methods that bring a client's working copy up to date and its changes
// back, one round trip each. They are Fernwerk's own: a plain opsi server does
// not have them.
func Group() methods.Group {
	return methods.Group{Classes: []*fleet.Class{replica.Receipts}, Methods: []*methods.Method{
		{
			Name: "replica_pull", Roles: []methods.Role{methods.Depot, methods.Host}, Do: pull,
			Doc:    "What the client's working copy lacks, from the position and scope it has.",
			Params: []methods.Param{{Name: "clientId"}, {Name: "request"}},
		},
		{
			Name: "replica_push", Roles: []methods.Role{methods.Host}, Do: push, Writes: true,
			Doc:    "Merges what the client changed, in one transaction; answers with the decisions.",
			Params: []methods.Param{{Name: "clientId"}, {Name: "request"}},
		},
	}}
}

// clientOf is the client that a replica call is about.
func clientOf(c *methods.Call) (string, error) {
	id, err := c.Text("clientId")
	if err == nil && c.Actor.Role == methods.Host && id != c.Actor.ID {
		err = fleet.Errorf(fleet.Denied, "cannot call %s for %s: host %s has its own working copy only", c.Method.Name, id, c.Actor.ID)
	}
	return id, err
}

// into reads a structured argument.
func into(c *methods.Call, name string, dst any) error {
	data, err := json.Marshal(c.Args[name])
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber() // a row's numbers are whole, and wider than a float64
		err = dec.Decode(dst)
	}
	if err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s: %w", c.Method.Name, name, err)
	}
	return nil
}

func pull(c *methods.Call) (any, error) {
	client, err := clientOf(c)
	if err != nil {
		return nil, err
	}
	var req replica.PullRequest
	if err := into(c, "request", &req); err != nil {
		return nil, err
	}
	due := false
	if err := c.View(func(tx *store.Tx) error { due, err = licence.Due(tx, client); return err }); err != nil {
		return nil, err
	}
	if due {
		if err := c.Update(func(tx *store.Tx) error { return licence.Reserve(tx, client) }); err != nil {
			return nil, err
		}
	}
	var a replica.PullAnswer
	err = c.View(func(tx *store.Tx) error {
		depot, err := params.DepotOf(tx, client)
		if err == nil {
			a, err = replica.Pull(tx, c, client, depot, req)
		}
		return err
	})
	return methods.Plain(a, err)
}

func push(c *methods.Call) (any, error) {
	client, err := clientOf(c)
	if err != nil {
		return nil, err
	}
	var req replica.PushRequest
	if err := into(c, "request", &req); err != nil {
		return nil, err
	}
	var a replica.PushAnswer
	pos, err := c.UpdateAt(func(tx *store.Tx) error {
		depot, err := params.DepotOf(tx, client)
		if err == nil {
			a, err = replica.Push(tx, licence.Gate(c, tx), client, depot, req)
		}
		if err == nil {
			err = licence.Settle(tx, client)
		}
		return err
	})
	if pos != (store.Position{}) {
		a.Position = pos
	}
	return methods.Plain(a, err)
}
