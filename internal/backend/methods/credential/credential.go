// Package credential keeps the passwords that hosts need to read a depot's file
// share: those of the user whom clientconfig.depot.user names, pcpatch as a
// rule.
//
// A client gets one sealed with its own host key, as opsi's clients expect it.
// In clear only administrators and depots read it. It is not part of the
// history and not of any client's working copy; the server's own accounts are
// something else (package access).
package credential

import (
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/sealed"
)

// Password is that of one user of the file share.
type Password struct {
	User     string `col:"user,ident,lower,valid=user"`
	Password string `col:"password,secret"`
}

// Passwords is the class of Password.
var Passwords = fleet.LocalClass[Password]("sharePassword")

// userParameter says who reads the file share.
const userParameter = "clientconfig.depot.user"

// usualUser is opsi's.
const usualUser = "pcpatch"

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Classes: []*fleet.Class{Passwords}, Methods: []*methods.Method{
		{
			Name: "user_getCredentials", Roles: []methods.Role{methods.Depot, methods.Host}, Do: get,
			Doc:    "The password of a user of the depot's file share: sealed for a host, if one is named, else in clear. A host gets it sealed for itself only.",
			Params: []methods.Param{{Name: "username", Optional: true}, {Name: "hostId", Optional: true}},
		},
		{
			Name: "user_setCredentials", Roles: []methods.Role{}, Do: set, Writes: true,
			Doc:    "Keeps the password of a user of the depot's file share. The share itself gets it elsewhere.",
			Params: []methods.Param{{Name: "username"}, {Name: "password"}},
		},
	}}
}

// Ensure makes sure that the usual user has a password: clients ask for it
// whether or not they need it. It is a random one until somebody sets another.
func Ensure(tx *store.Tx) error {
	have, err := tx.ByKey(Passwords, usualUser)
	if err != nil || have != nil {
		return err
	}
	return tx.Put(Passwords, fleet.Row{"user": usualUser, "password": methods.NewHostKey()})
}

func get(c *methods.Call) (any, error) {
	user, err := c.Text("username")
	if err != nil {
		return nil, err
	}
	host, err := c.Text("hostId")
	if err != nil {
		return nil, err
	}
	if c.Actor.Role == methods.Host {
		if host == "" {
			host = c.Actor.ID
		}
		if !strings.EqualFold(host, c.Actor.ID) {
			return nil, fleet.Errorf(fleet.Denied, "cannot call %s for %s: host %s reads what is sealed for itself only", c.Method.Name, host, c.Actor.ID)
		}
	}
	password := ""
	err = c.View(func(tx *store.Tx) error {
		if user == "" {
			if user, err = shareUser(tx, host); err != nil {
				return err
			}
		}
		r, err := tx.ByKey(Passwords, strings.ToLower(user))
		if err == nil && r == nil {
			err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot read the credentials of %s: nobody set them", user),
				"set them with: fernwerk rpc user_setCredentials %s PASSWORD", user)
		}
		if err != nil {
			return err
		}
		if password = r.Str("password"); host == "" {
			return nil
		}
		h, err := tx.Get(fleet.Hosts, fleet.Row{"id": host})
		if err != nil {
			return err
		}
		password, err = sealed.Seal(h.Str("opsiHostKey"), password)
		return err
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"password": password, "rsaPrivateKey": ""}, nil
}

// shareUser is who reads the file share of a host's depot.
func shareUser(tx *store.Tx, host string) (string, error) {
	values, err := params.Of(tx, host, userParameter)
	if err != nil {
		return "", err
	}
	if v := values[userParameter]; len(v) > 0 {
		name := fmt.Sprint(v[0])
		return name[strings.LastIndexByte(name, '\\')+1:], nil // without its domain
	}
	return usualUser, nil
}

func set(c *methods.Call) (any, error) {
	user, err := c.Text("username")
	if err != nil {
		return nil, err
	}
	password, err := c.Text("password")
	if err != nil {
		return nil, err
	}
	if password == "" || strings.ContainsAny(password, "\"\x00\r\n") {
		return nil, fleet.Errorf(fleet.Invalid, "cannot set the credentials of %s: a password is not empty and holds no quotation mark and no line end", user)
	}
	return nil, c.Update(func(tx *store.Tx) error {
		return tx.Put(Passwords, fleet.Row{"user": user, "password": password})
	})
}
