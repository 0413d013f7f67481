// Package joining holds the methods about machines that join, and about what they
// are known by afterwards: tokens, requests that wait, identities.
//
// Tokens and requests are the administrators' affair: a machine that is no host
// yet is in nobody's part of the fleet. What a host is known by an operator may
// end, of hosts that he may change. An agent has none of this.
package joining

import (
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	administrators, operators := []methods.Role{}, []methods.Role{methods.Operator}
	p := func(spec string) (ps []methods.Param) {
		for name := range strings.FieldsSeq(spec) {
			rest, optional := strings.CutPrefix(name, "*")
			ps = append(ps, methods.Param{Name: rest, Optional: optional})
		}
		return ps
	}
	return methods.Group{Methods: []*methods.Method{
		{Name: "token_create", Roles: administrators, Do: create, Writes: true, Params: p("*nodeType *uses *seconds *groups *depotId *policy *approve"),
			Doc: "Makes a token by which machines join: for so many machines, for so many seconds. Its text is told this once."},
		{Name: "token_getObjects", Roles: administrators, Do: tokens,
			Doc: "The tokens, without their secrets, the newest first."},
		{Name: "token_revoke", Roles: administrators, Do: revokeToken, Writes: true, Params: p("id"),
			Doc: "Ends a token. Hosts that joined by it stay."},
		{Name: "host_getPending", Roles: administrators, Do: pending,
			Doc: "The machines that wait for an administrator's word, the oldest first."},
		{Name: "host_approve", Roles: administrators, Do: approve, Writes: true, Params: p("pendingId *hostId"),
			Doc: "Makes a machine that waits a host, by the name rule or as hostId; it learns so when it asks again. Returns the host id."},
		{Name: "host_deny", Roles: administrators, Do: deny, Writes: true, Params: p("pendingId"),
			Doc: "Refuses a machine that waits."},
		{Name: "host_revoke", Roles: operators, Do: revoke, Writes: true, Params: p("hostId *reason"),
			Doc: "Ends everything by which a host is known, at once: certificates, host key, one-time password, sessions, connections. What is known of it stays."},
		{Name: "host_setKeyLogins", Roles: operators, Do: keyLogins, Writes: true, Params: p("hostId open"),
			Doc: "Says whether the host key of a host that has a certificate opens opsi's protocol. It does unless it is switched off here."},
		{Name: "host_getClones", Roles: administrators, Do: clones,
			Doc: "The identities that two machines use, with what is known of both."},
		{Name: "host_keepIdentity", Roles: operators, Do: keep, Writes: true, Params: p("hostId"),
			Doc: "Lets the machine that was refused last as a copy stay what it is: its next contact is accepted, and the other one's is refused."},
	}}
}

func portOf(c *methods.Call) (port.Enrolment, error) {
	if p := c.Ports().Enrolment; p != nil {
		return p, nil
	}
	return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: nobody joins here", c.Method.Name)
}

func number(c *methods.Call, name string, def int64) (int64, error) {
	switch n := c.Args[name].(type) {
	case nil:
		return def, nil
	case int64:
		return n, nil
	}
	return 0, fleet.Errorf(fleet.Invalid, "cannot call %s: %s is no number", c.Method.Name, name)
}

const usualLife = 24 * 60 * 60 // seconds

func create(c *methods.Call) (any, error) {
	p, err := portOf(c)
	if err != nil {
		return nil, err
	}
	var want port.JoinToken
	for name, to := range map[string]*string{"nodeType": &want.NodeType, "depotId": &want.Depot, "policy": &want.Policy} {
		if *to, err = c.Text(name); err != nil {
			return nil, err
		}
	}
	want.Depot = strings.ToLower(want.Depot)
	if want.Groups, err = c.Texts("groups"); err != nil {
		return nil, err
	}
	if want.Uses, err = number(c, "uses", 1); err != nil {
		return nil, err
	}
	seconds, err := number(c, "seconds", usualLife)
	if err != nil {
		return nil, err
	}
	if seconds < 0 || seconds > 1<<31 {
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %d seconds are no life", c.Method.Name, seconds)
	}
	want.Approve = c.Flag("approve", false)
	var text string
	var made port.JoinToken
	err = c.Update(func(tx *store.Tx) error {
		text, made, err = p.CreateToken(tx, c.Actor.ID, want, time.Duration(seconds)*time.Second)
		return err
	})
	return methods.Plain(struct {
		port.JoinToken
		Token string `json:"token"`
	}{made, text}, err)
}

func tokens(c *methods.Call) (any, error) {
	p, err := portOf(c)
	if err != nil {
		return nil, err
	}
	var all []port.JoinToken
	err = c.View(func(tx *store.Tx) error { all, err = p.Tokens(tx); return err })
	return methods.Plain(all, err)
}

func pending(c *methods.Call) (any, error) {
	p, err := portOf(c)
	if err != nil {
		return nil, err
	}
	var all []port.PendingHost
	err = c.View(func(tx *store.Tx) error { all, err = p.Pending(tx); return err })
	return methods.Plain(all, err)
}

func clones(c *methods.Call) (any, error) {
	p, err := portOf(c)
	if err != nil {
		return nil, err
	}
	var all []port.CloneHost
	err = c.View(func(tx *store.Tx) error { all, err = p.Clones(tx); return err })
	return methods.Plain(all, err)
}

// one is a change of what the argument name names.
func one(c *methods.Call, name string, do func(p port.Enrolment, tx *store.Tx, id string) error) error {
	p, err := portOf(c)
	if err != nil {
		return err
	}
	id, err := c.Text(name)
	if err != nil {
		return err
	}
	id = strings.ToLower(id)
	return c.Update(func(tx *store.Tx) error {
		if name == "hostId" {
			if err := c.AboutIn(tx, id); err != nil {
				return err
			}
		}
		return do(p, tx, id)
	})
}

func revokeToken(c *methods.Call) (any, error) {
	return nil, one(c, "id", func(p port.Enrolment, tx *store.Tx, id string) error { return p.RevokeToken(tx, id) })
}

func approve(c *methods.Call) (any, error) {
	as, err := c.Text("hostId")
	if err != nil {
		return nil, err
	}
	var hostID string
	err = one(c, "pendingId", func(p port.Enrolment, tx *store.Tx, id string) error {
		hostID, err = p.Approve(tx, id, strings.ToLower(as))
		return err
	})
	return hostID, err
}

func deny(c *methods.Call) (any, error) {
	return nil, one(c, "pendingId", func(p port.Enrolment, tx *store.Tx, id string) error { return p.Deny(tx, id) })
}

func revoke(c *methods.Call) (any, error) {
	reason, err := c.Text("reason")
	if err != nil {
		return nil, err
	}
	if len(reason) > 200 {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot call %s: the reason has more than 200 bytes", c.Method.Name)
	}
	return nil, one(c, "hostId", func(p port.Enrolment, tx *store.Tx, id string) error { return p.Revoke(tx, id, reason) })
}

func keyLogins(c *methods.Call) (any, error) {
	return nil, one(c, "hostId", func(p port.Enrolment, tx *store.Tx, id string) error {
		return p.KeyLogins(tx, id, c.Flag("open", true))
	})
}

func keep(c *methods.Call) (any, error) {
	return nil, one(c, "hostId", func(p port.Enrolment, tx *store.Tx, id string) error { return p.KeepIdentity(tx, id) })
}
