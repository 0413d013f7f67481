// Package account holds the methods about the people who may log in: their
// roles, the host groups that they are bound to, passwords and one-time codes.
// They are Fernwerk's own; opsi's user_* methods show the same people, and what
// is done by them counts for the account too.
//
// What proves somebody is kept by the server ([methods.Accounts]) and is in no
// answer, but for a password that was made, and the secret of one-time codes,
// once. An agent has no accounts.
package account

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	administrators := []methods.Role{}
	everybody := []methods.Role{methods.Operator, methods.Reader} // each for himself
	p := func(spec string) (ps []methods.Param) {
		for name := range strings.FieldsSeq(spec) {
			rest, optional := strings.CutPrefix(name, "*")
			ps = append(ps, methods.Param{Name: rest, Optional: optional})
		}
		return ps
	}
	return methods.Group{Methods: []*methods.Method{
		{Name: "account_list", Roles: administrators, Do: list,
			Doc: "The accounts: name, role, groups, when they were made and last used, and whether a one-time code is asked for."},
		{Name: "account_self", Roles: everybody, Do: self,
			Doc: "The caller's own account."},
		{Name: "account_create", Roles: administrators, Do: create, Writes: true, Params: p("name role *groups *password"),
			Doc: "Makes an account. An operator or reader with groups is bound to the hosts in these host groups and those below. Without a password one is made, and returned."},
		{Name: "account_delete", Roles: administrators, Do: remove, Writes: true, Params: p("name"),
			Doc: "Takes an account away, and ends its sessions. The last administrator stays."},
		{Name: "account_setRole", Roles: administrators, Do: setRole, Writes: true, Params: p("name role *groups"),
			Doc: "Gives an account another role, and binds it to the host groups given, or to none. The last administrator stays one."},
		{Name: "account_setPassword", Roles: everybody, Do: setPassword, Writes: true, Params: p("*name *password *old"),
			Doc: "Changes a password, and ends the sessions of the account. For the own account the old one is needed. Without a password one is made, and returned."},
		{Name: "account_beginTotp", Roles: everybody, Do: beginCodes, Writes: true, Params: p("password"),
			Doc: "Makes a secret for one-time codes of the own account: it is told this once, and counts when account_confirmTotp has got a code."},
		{Name: "account_confirmTotp", Roles: everybody, Do: confirmCodes, Writes: true, Params: p("code"),
			Doc: "Turns one-time codes on for the own account; from now on a login takes one."},
		{Name: "account_removeTotp", Roles: everybody, Do: removeCodes, Writes: true, Params: p("*name *password"),
			Doc: "Turns one-time codes off: of the own account with its password, of another as an administrator."},
	}}
}

// port is the server's keeping of accounts.
func port(c *methods.Call) (methods.Accounts, error) {
	if p := c.Ports().Accounts; p != nil {
		return p, nil
	}
	return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: nobody has an account here", c.Method.Name)
}

func text(c *methods.Call, names ...string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range names {
		v, err := c.Text(name)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	out["name"] = strings.ToLower(out["name"])
	return out, nil
}

func all(c *methods.Call) (accounts []methods.Account, err error) {
	p, err := port(c)
	if err == nil {
		err = c.View(func(tx *store.Tx) error { accounts, err = p.List(tx); return err })
	}
	return accounts, err
}

func list(c *methods.Call) (any, error) { return methods.Plain(all(c)) }

func self(c *methods.Call) (any, error) {
	accounts, err := all(c)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if a.Name == c.Actor.ID {
			return methods.Plain(a, nil)
		}
	}
	return methods.Plain(methods.Account{Name: c.Actor.ID, Role: c.Actor.Role, Groups: []string{}}, nil) // root of the server's machine
}

func create(c *methods.Call) (any, error) {
	p, err := port(c)
	if err != nil {
		return nil, err
	}
	arg, err := text(c, "name", "role", "password")
	if err != nil {
		return nil, err
	}
	groups, err := c.Texts("groups")
	if err != nil {
		return nil, err
	}
	a := methods.Account{Name: arg["name"], Role: methods.Role(arg["role"]), Groups: groups}
	password, err := p.Create(c.Context, c.Origin(), a, arg["password"])
	return madePassword(arg, password), err
}

// madePassword is the answer to who set a password: one that was made.
func madePassword(arg map[string]string, password string) map[string]any {
	out := map[string]any{"name": arg["name"], "password": nil}
	if arg["password"] == "" {
		out["password"] = password
	}
	return out
}

func remove(c *methods.Call) (any, error) {
	p, err := port(c)
	if err != nil {
		return nil, err
	}
	arg, err := text(c, "name")
	if err != nil {
		return nil, err
	}
	return nil, p.Remove(c.Context, c.Origin(), arg["name"])
}

func setRole(c *methods.Call) (any, error) {
	p, err := port(c)
	if err != nil {
		return nil, err
	}
	arg, err := text(c, "name", "role")
	if err != nil {
		return nil, err
	}
	groups, err := c.Texts("groups")
	if err != nil {
		return nil, err
	}
	return nil, p.SetRole(c.Context, c.Origin(), arg["name"], methods.Role(arg["role"]), groups)
}

// whose is the account that a call is about, and whether it is the caller's.
func whose(c *methods.Call, name string) (string, bool, error) {
	if name == "" || name == c.Actor.ID {
		return c.Actor.ID, true, nil
	}
	if c.Actor.Role != methods.Administrator {
		return "", false, fleet.Errorf(fleet.Denied, "cannot call %s for %s: %s %s may only change his own account", c.Method.Name, name, c.Actor.Role, c.Actor.ID)
	}
	return name, false, nil
}

func setPassword(c *methods.Call) (any, error) {
	p, err := port(c)
	if err != nil {
		return nil, err
	}
	arg, err := text(c, "name", "password", "old")
	if err != nil {
		return nil, err
	}
	name, own, err := whose(c, arg["name"])
	if err != nil {
		return nil, err
	}
	if own {
		if err := p.Verify(c.Context, name, arg["old"]); err != nil {
			return nil, err
		}
	}
	arg["name"] = name
	password, err := p.SetPassword(c.Context, c.Origin(), name, arg["password"])
	return madePassword(arg, password), err
}

func beginCodes(c *methods.Call) (any, error) {
	p, err := port(c)
	if err != nil {
		return nil, err
	}
	arg, err := text(c, "password")
	if err != nil {
		return nil, err
	}
	if err := p.Verify(c.Context, c.Actor.ID, arg["password"]); err != nil {
		return nil, err
	}
	secret, uri, err := p.BeginCodes(c.Context, c.Origin(), c.Actor.ID)
	if err != nil {
		return nil, err
	}
	return map[string]any{"secret": secret, "uri": uri}, nil
}

func confirmCodes(c *methods.Call) (any, error) {
	p, err := port(c)
	if err != nil {
		return nil, err
	}
	arg, err := text(c, "code")
	if err != nil {
		return nil, err
	}
	return nil, p.ConfirmCodes(c.Context, c.Origin(), c.Actor.ID, arg["code"])
}

func removeCodes(c *methods.Call) (any, error) {
	p, err := port(c)
	if err != nil {
		return nil, err
	}
	arg, err := text(c, "name", "password")
	if err != nil {
		return nil, err
	}
	name, own, err := whose(c, arg["name"])
	if err == nil && own {
		err = p.Verify(c.Context, name, arg["password"])
	}
	if err != nil {
		return nil, err
	}
	return nil, p.RemoveCodes(c.Context, c.Origin(), name)
}
