package access

import (
	"context"
	"fmt"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// people are the accounts as the methods see them.
type people struct{ *Access }

// Accounts is the port of the methods about accounts. server names this server
// in authenticators.
func (a *Access) Accounts(server string) methods.Accounts {
	a.server = server
	return people{a}
}

// leastPassword is how short a password may be that somebody chooses, in
// characters (NIST SP 800-63B).
const leastPassword = 8

func strong(name, password string) error {
	if n := len([]rune(password)); password != "" && n < leastPassword {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot set the password of %q: it has %d characters, the least is %d", name, n, leastPassword),
			"without a password one is made")
	}
	return nil
}

func (p people) Groups(tx *store.Tx, actor methods.Actor) ([]string, error) {
	acc, err := account(tx, actor.ID)
	if code := fleet.CodeOf(err); code == fleet.NotFound || code == fleet.Invalid {
		return nil, fleet.Errorf(fleet.Denied, "cannot answer %s: the account is gone", actor.ID)
	}
	return acc.Groups, err
}

func (p people) List(tx *store.Tx) ([]methods.Account, error) {
	all, err := store.All[Account](tx, Accounts, nil)
	if err != nil {
		return nil, err
	}
	users, err := tx.Select(fleet.Users, nil)
	if err != nil {
		return nil, err
	}
	last := map[string]string{}
	for _, u := range users {
		last[u.Str("id")] = u.Str("lastLogin")
	}
	out := make([]methods.Account, len(all))
	for i, a := range all {
		out[i] = methods.Account{Name: a.Name, Role: methods.Role(a.Role), Groups: a.Groups, Created: a.Created,
			LastLogin: last[a.Name], Codes: a.Secret != ""}
		if out[i].Groups == nil {
			out[i].Groups = []string{}
		}
	}
	return out, nil
}

func (p people) Create(ctx context.Context, by store.Origin, acc methods.Account, password string) (string, error) {
	if err := strong(acc.Name, password); err != nil {
		return "", err
	}
	if password == "" {
		password = madePassword()
	}
	made := Account{Name: acc.Name, Password: hash(password)}
	return password, p.store.Update(ctx, by, func(tx *store.Tx) error {
		_, err := account(tx, acc.Name)
		switch {
		case err == nil:
			return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot make the account %q: it exists", acc.Name), "change it with: fernwerk user role, fernwerk user passwd")
		case fleet.CodeOf(err) != fleet.NotFound:
			return err
		}
		if err := made.be(tx, acc.Role, acc.Groups); err != nil {
			return err
		}
		if err := put(tx, made); err != nil {
			return err
		}
		return note(tx, made.Name, "created", made.rights())
	})
}

// be gives an account a role and binds it to groups that there are.
func (a *Account) be(tx *store.Tx, role methods.Role, groups []string) error {
	if !slices.Contains([]methods.Role{methods.Administrator, methods.Operator, methods.Reader}, role) {
		return fleet.Errorf(fleet.Invalid, "cannot make %q a %q: the roles of people are administrator, operator, reader", a.Name, role)
	}
	if role == methods.Administrator && len(groups) > 0 {
		return fleet.Errorf(fleet.Invalid, "cannot bind %q to groups: an administrator may do everything", a.Name)
	}
	for _, id := range groups {
		if _, err := tx.Get(fleet.Groups, fleet.Row{"type": fleet.HostGroup, "id": id}); err != nil {
			return fleet.WithHint(err, "list all with: fernwerk group list")
		}
	}
	a.Role, a.Groups = string(role), groups
	return nil
}

func (a *Account) rights() fleet.Row {
	groups := make([]any, len(a.Groups))
	for i, g := range a.Groups {
		groups[i] = g
	}
	return fleet.Row{"role": a.Role, "groups": groups}
}

func (p people) Remove(ctx context.Context, by store.Origin, name string) error {
	return p.store.Update(ctx, by, func(tx *store.Tx) error { return remove(tx, name) })
}

func (p people) SetRole(ctx context.Context, by store.Origin, name string, role methods.Role, groups []string) error {
	return p.store.Update(ctx, by, func(tx *store.Tx) error {
		acc, err := account(tx, name)
		if err != nil {
			return err
		}
		if role != methods.Administrator {
			if err := keepsAdministrator(tx, acc.Name); err != nil {
				return err
			}
		}
		if err := acc.be(tx, role, groups); err != nil {
			return err
		}
		if err := put(tx, acc); err != nil {
			return err
		}
		return note(tx, acc.Name, "role", acc.rights())
	})
}

func (p people) SetPassword(ctx context.Context, by store.Origin, name, password string) (string, error) {
	if err := strong(name, password); err != nil {
		return "", err
	}
	return p.setPassword(ctx, by, name, "", password)
}

func (p people) Verify(ctx context.Context, name, password string) error {
	_, found, err := p.checkPassword(ctx, name, password, false)
	if fleet.CodeOf(err) == fleet.Unauthenticated {
		p.attempts.failed("account", name, found, "")
		err = fleet.Errorf(fleet.Denied, "cannot change %q: the password is wrong", name) // who asks is logged in
	}
	return err
}

func (p people) BeginCodes(ctx context.Context, by store.Origin, name string) (secret, uri string, err error) {
	secret = newCodeSecret()
	err = p.store.Update(ctx, by, func(tx *store.Tx) error {
		acc, err := account(tx, name)
		if err == nil && acc.Secret != "" {
			err = fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot begin with one-time codes for %q: they are on", name), "turn them off first: fernwerk user totp off")
		}
		if err != nil {
			return err
		}
		acc.Pending = secret
		return put(tx, acc)
	})
	return secret, codeURI(p.server, name, secret), err
}

func (p people) ConfirmCodes(ctx context.Context, by store.Origin, name, code string) error {
	if err := p.codes.charge(name, p.now()); err != nil {
		return err
	}
	err := p.store.Update(ctx, by, func(tx *store.Tx) error {
		acc, err := account(tx, name)
		if err == nil && acc.Pending == "" {
			err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot confirm a one-time code of %q: nothing was begun", name), "begin with: fernwerk user totp on")
		}
		if err != nil {
			return err
		}
		step, ok := codeStepOf(acc.Pending, code, acc.Step, p.now())
		if !ok {
			return fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot confirm: the one-time code is wrong"), "is the clock of the authenticator right?")
		}
		acc.Secret, acc.Pending, acc.Step = acc.Pending, "", step
		if err := put(tx, acc); err != nil {
			return err
		}
		return note(tx, name, "codes on", nil)
	})
	if err == nil {
		p.codes.forget(name)
	}
	return err
}

func (p people) RemoveCodes(ctx context.Context, by store.Origin, name string) error {
	return p.removeCodes(ctx, by, name)
}

// Changing makes an account follow its user: what opsi's tools do with users
// counts, except that nobody gets a secret in or an account out of it.
func (p people) Changing(tx *store.Tx, before, after fleet.Row) error {
	name := fmt.Sprint(cmpRow(after, before)["id"])
	acc, err := account(tx, name)
	if fleet.CodeOf(err) == fleet.NotFound {
		return nil // a user of no account
	}
	if err != nil {
		return err
	}
	switch on := after.Str("mfaState") == "totp_active"; {
	case after == nil:
		if err := keepsAdministrator(tx, name); err != nil {
			return err
		}
		if err := tx.Remove(Accounts, Accounts.Encode(acc)); err != nil {
			return err
		}
		return note(tx, name, "removed", nil)
	case after.Str("otpSecret") != "":
		return fleet.Errorf(fleet.Invalid, "cannot change user %q: its secret is made by the server", name)
	case on && acc.Secret == "":
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot turn on one-time codes for %q from outside", name), "the person does it: fernwerk user totp on")
	case !on && acc.Secret != "":
		acc.Secret, acc.Pending = "", ""
		if err := tx.Put(Accounts, Accounts.Encode(acc)); err != nil {
			return err
		}
		return note(tx, name, "codes off", nil)
	}
	return nil
}

func cmpRow(a, b fleet.Row) fleet.Row {
	if a != nil {
		return a
	}
	return b
}

func (p people) Refused(actor methods.Actor, method string) { p.attempts.refused(actor, method) }
