package methods

import (
	"bytes"
	"encoding/json"

	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// replicaMethods bring a client's working copy up to date and its changes
// back, one round trip each. They are Fernwerk's own: a plain opsi server does
// not have them.
func replicaMethods() []*Method {
	return []*Method{
		{
			Name: "replica_pull", Roles: []Role{Depot, Host}, call: pull,
			Doc:    "What the client's working copy lacks, from the position and scope it has.",
			Params: []Param{{Name: "clientId"}, {Name: "request"}},
		},
		{
			Name: "replica_push", Roles: []Role{Host}, call: push, Writes: true,
			Doc:    "Merges what the client changed, in one transaction; answers with the decisions.",
			Params: []Param{{Name: "clientId"}, {Name: "request"}},
		},
	}
}

// client is the client that a replica call is about.
func (c *Call) client() (string, error) {
	id, err := c.text("clientId")
	if err == nil && c.Actor.Role == Host && id != c.Actor.ID {
		err = fleet.Errorf(fleet.Denied, "cannot call %s for %s: host %s has its own working copy only", c.m.Name, id, c.Actor.ID)
	}
	return id, err
}

// into reads a structured argument.
func (c *Call) into(name string, dst any) error {
	data, err := json.Marshal(c.args[name])
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber() // a row's numbers are whole, and wider than a float64
		err = dec.Decode(dst)
	}
	if err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s: %w", c.m.Name, name, err)
	}
	return nil
}

func pull(c *Call) (any, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	var req replica.PullRequest
	if err := c.into("request", &req); err != nil {
		return nil, err
	}
	due := false
	if err := c.view(func(tx *store.Tx) error { due, err = licensesDue(tx, client); return err }); err != nil {
		return nil, err
	}
	if due {
		if err := c.update(func(tx *store.Tx) error { return reserveLicenses(tx, client) }); err != nil {
			return nil, err
		}
	}
	var a replica.PullAnswer
	err = c.view(func(tx *store.Tx) error {
		depot, err := DepotOf(tx, client)
		if err == nil {
			a, err = replica.Pull(tx, c, client, depot, req)
		}
		return err
	})
	return Plain(a, err)
}

func push(c *Call) (any, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	var req replica.PushRequest
	if err := c.into("request", &req); err != nil {
		return nil, err
	}
	var a replica.PushAnswer
	pos, err := c.s.store.UpdateAt(c.Context, c.origin(), func(tx *store.Tx) error {
		depot, err := DepotOf(tx, client)
		if err == nil {
			a, err = replica.Push(tx, seatGate{c, tx}, client, depot, req)
		}
		if err == nil {
			err = settleLicenses(tx, client)
		}
		return err
	})
	if pos != (store.Position{}) {
		a.Position = pos
	}
	return Plain(a, err)
}
