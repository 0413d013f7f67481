// Package updates holds the methods about run-once updates: publish them to a
// part of the fleet, see how they went, and what hosts report.
//
// What an update does was signed off line; publishing says only to whom it is
// offered. So it is the administrators', and even they can offer nothing else.
package updates

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	administrators := []methods.Role{}
	return methods.Group{Methods: []*methods.Method{
		{Name: "update_publish", Roles: administrators, Do: publish, Writes: true,
			Doc:    "Offers a signed run-once update to a part of the fleet (\"5%\"), which can be made larger later. Its content must be a target that was signed offline.",
			Params: []methods.Param{{Name: "number"}, {Name: "ring", Optional: true}}},
		{Name: "update_withdraw", Roles: administrators, Do: withdraw, Writes: true,
			Doc:    "Has hosts that did not run an update yet not run it. One that others come after stays.",
			Params: []methods.Param{{Name: "number"}}},
		{Name: "update_decide", Roles: []methods.Role{methods.Operator}, Do: decide, Writes: true,
			Doc:    "Says what a host does about an update that failed there, or was interrupted: retry or skip.",
			Params: []methods.Param{{Name: "number"}, {Name: "hostId"}, {Name: "decision"}}},
		{Name: "update_getStatus", Roles: []methods.Role{methods.Operator, methods.Reader}, Do: status,
			Doc:    "The run-once updates with how many hosts are in which state; of one number also the hosts, and of one host what the script printed.",
			Params: []methods.Param{{Name: "number", Optional: true}, {Name: "hostId", Optional: true}}},
		{Name: "update_report", Roles: []methods.Role{methods.Host}, Do: report, Writes: true,
			Doc:    "A host tells how an attempt to run an update went. Told again under the same key it counts once. Answers whether such an update was ever published.",
			Params: []methods.Param{{Name: "report"}}},
	}}
}

func portOf(c *methods.Call) (port.Updates, error) {
	if u := c.Ports().Updates; u != nil {
		return u, nil
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot call %s: no updates are published here", c.Method.Name), "ask the config server")
}

func number(c *methods.Call) (int, error) {
	text, err := c.Text("number")
	if err != nil {
		return 0, err
	}
	return update.Number(text)
}

// named is the port and the number that a call names.
func named(c *methods.Call) (port.Updates, int, error) {
	u, err := portOf(c)
	if err != nil {
		return nil, 0, err
	}
	n, err := number(c)
	return u, n, err
}

func publish(c *methods.Call) (any, error) {
	u, n, err := named(c)
	if err != nil {
		return nil, err
	}
	ring, err := c.Text("ring")
	if err != nil {
		return nil, err
	}
	share := update.Whole
	if ring != "" {
		if share, err = update.ReadShare(ring); err != nil {
			return nil, err
		}
	}
	var done port.Update
	err = c.Update(func(tx *store.Tx) (err error) { done, err = u.Publish(tx, c.Origin(), n, share); return err })
	return methods.Plain(done, err)
}

func withdraw(c *methods.Call) (any, error) {
	u, n, err := named(c)
	if err != nil {
		return nil, err
	}
	var done port.Update
	err = c.Update(func(tx *store.Tx) (err error) { done, err = u.Withdraw(tx, c.Origin(), n); return err })
	return methods.Plain(done, err)
}

func host(c *methods.Call) (string, error) {
	id, err := c.Text("hostId")
	return strings.ToLower(id), err
}

func decide(c *methods.Call) (any, error) {
	u, n, err := named(c)
	if err != nil {
		return nil, err
	}
	id, err := host(c)
	if err != nil {
		return nil, err
	}
	word, err := c.Text("decision")
	if err != nil {
		return nil, err
	}
	if err := update.ValidDecision(word); err != nil {
		return nil, err
	}
	return nil, c.Update(func(tx *store.Tx) error { return u.Decide(tx, c.Origin(), id, n, word) })
}

func status(c *methods.Call) (any, error) {
	u, err := portOf(c)
	if err != nil {
		return nil, err
	}
	text, err := c.Text("number")
	if err != nil {
		return nil, err
	}
	n := -1
	if text != "" {
		if n, err = update.Number(text); err != nil {
			return nil, err
		}
	}
	id, err := host(c)
	if err != nil {
		return nil, err
	}
	if id != "" && n < 0 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: a host goes with a number", c.Method.Name)
	}
	list := []port.Update{}
	err = c.View(func(tx *store.Tx) error {
		sees, _, err := c.InScope(tx)
		if err != nil {
			return err
		}
		if list, err = u.Status(tx, n, sees); err != nil || id == "" {
			return err
		}
		list[0].Hosts, err = u.Output(tx, id, n)
		return err
	})
	return methods.Plain(list, err)
}

var errReport = errors.New("it is no report of an agent")

func report(c *methods.Call) (any, error) {
	u, err := portOf(c)
	if err != nil {
		return nil, err
	}
	if c.Actor.Role != methods.Host {
		return nil, fleet.Errorf(fleet.Denied, "cannot call %s: a host tells of itself, and %s is none", c.Method.Name, c.Actor.ID)
	}
	given, ok := c.Args["report"].(map[string]any)
	if !ok {
		return nil, fleet.Errorf(fleet.Invalid, "cannot take the report of an update: %w", errReport)
	}
	data, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	if len(data) > update.MaxReport*2 { // escapes
		return nil, fleet.Errorf(fleet.TooLarge, "cannot take the report of an update: it has %d bytes", len(data))
	}
	var r update.Report
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot take the report of an update: %w", errReport)
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	known := false
	err = c.Update(func(tx *store.Tx) (err error) { known, err = u.Report(tx, c.Actor.ID, r); return err })
	return known, err
}
