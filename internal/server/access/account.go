package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Account is a person, or a person's program, that may log in.
type Account struct {
	Name     string `col:"name,ident,lower,valid=user"`
	Role     string `col:"role,in=administrator|operator|reader"`
	Password string `col:"password,secret"` // see hash
	Created  string `col:"created,time,stamp=create"`
}

// Accounts is the class of Account. It is bookkeeping of the server: no method
// of the fleet reads or writes it, and no journal holds a password.
var Accounts = fleet.LocalClass[Account]("account")

func (a Account) principal() principal {
	return principal{methods.Actor{Role: methods.Role(a.Role), ID: a.Name}, sha256.Sum256([]byte(a.Password))}
}

// account finds an account, or is NotFound.
func account(tx *store.Tx, name string) (Account, error) {
	var acc Account
	row, err := tx.Get(Accounts, fleet.Row{"name": name})
	if err == nil {
		Accounts.Decode(row, &acc)
	}
	return acc, err
}

// loginAccount checks a password. A name that nobody has takes as long as one
// that somebody has, and waits in the same way.
func (a *Access) loginAccount(ctx context.Context, name, password string) (principal, error) {
	acc := Account{Password: nobody}
	err := a.store.View(ctx, func(tx *store.Tx) error {
		found, err := account(tx, name)
		switch fleet.CodeOf(err) {
		case fleet.NotFound, fleet.Invalid: // Invalid: no name that an account could have
			return nil
		}
		if err == nil {
			acc = found
		}
		return err
	})
	if err != nil {
		return principal{}, err
	}
	select { // each check takes 19 MiB
	case a.checks <- struct{}{}:
	case <-ctx.Done():
		return principal{}, ctx.Err()
	}
	defer func() { <-a.checks }()
	// Only now: of many tries at once, all but the first few wait here and then
	// find that the others failed.
	if err := a.failures.allowed(name, a.now()); err != nil {
		return principal{}, err
	}
	if !matches(acc.Password, password) || acc.Name == "" {
		a.failures.add(name, a.now())
		return principal{}, wrong(name)
	}
	a.failures.forget(name)
	return acc.principal(), nil
}

// FirstAdministrator makes the account "admin" if there is no account at all,
// with the given password, or with a made one if that is empty. show is called
// with a made password before it is stored: a crash in between leaves a
// password that counts for nothing, and the next start makes another.
func (a *Access) FirstAdministrator(ctx context.Context, password string, show func(name, password string) error) error {
	var accounts []fleet.Row
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		accounts, err = tx.Select(Accounts, nil)
		return err
	})
	if err != nil || len(accounts) > 0 {
		return err
	}
	const name = "admin"
	if password == "" {
		password = madePassword()
		if err := show(name, password); err != nil {
			return err
		}
	}
	row := Accounts.Encode(Account{Name: name, Role: string(methods.Administrator), Password: hash(password)})
	return a.store.Update(ctx, store.Origin{Actor: "first start"}, func(tx *store.Tx) error { return tx.Put(Accounts, row) })
}

// maxPassword bounds a password in bytes, as it does in a login.
const maxPassword = 1000

// SetPassword gives an account a password, and a role unless that is empty; an
// empty password has one made. An account that is not there is made if there is
// a role for it. It returns the password. Sessions of the account end.
func (a *Access) SetPassword(ctx context.Context, name string, role methods.Role, password string) (string, error) {
	if len(password) > maxPassword {
		return "", fleet.Errorf(fleet.TooLarge, "cannot set the password of %q: it is longer than %d bytes", name, maxPassword)
	}
	if password == "" {
		password = madePassword()
	}
	hashed := hash(password)
	err := a.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		acc, err := account(tx, name)
		if fleet.CodeOf(err) == fleet.NotFound && role != "" {
			acc, err = Account{Name: name}, nil
		}
		if err != nil {
			return fleet.WithHint(err, "an account is made by giving it a role")
		}
		if acc.Password = hashed; role != "" {
			acc.Role = string(role)
		}
		return tx.Put(Accounts, Accounts.Encode(acc))
	})
	return password, err
}

// RemoveAccount takes an account away; its sessions end.
func (a *Access) RemoveAccount(ctx context.Context, name string) error {
	return a.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		acc, err := account(tx, name)
		if err != nil {
			return err
		}
		return tx.Remove(Accounts, Accounts.Encode(acc))
	})
}

// madePassword is 100 random bits, in groups that a person can read out. It has
// no letters that look alike.
func madePassword() string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789" // 32: each is 5 bits
	var random [20]byte
	rand.Read(random[:])
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[r%32])
	}
	return b.String()
}
