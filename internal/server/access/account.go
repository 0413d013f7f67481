package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/journal"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Account is a person, or a person's program, that may log in.
type Account struct {
	Name string `col:"name,ident,lower,valid=user"`
	Role string `col:"role,in=administrator|operator|reader"`
	// Groups are the host groups that an operator or reader is bound to.
	Groups   []string `col:"groups"`
	Password string   `col:"password,secret"` // see hash
	// Secret makes the one-time codes that are asked for besides the password;
	// empty asks for none. Pending is one that no code has confirmed yet.
	Secret  string `col:"secret,secret"`
	Pending string `col:"pending,secret"`
	Step    int64  `col:"step,default=0"` // of the last code that was accepted
	Created string `col:"created,time,stamp=create"`
}

// Accounts is the class of Account. It is bookkeeping of the server: no method
// of the fleet reads or writes it, and no journal holds a password. What anybody
// may know of an account is a row of [fleet.Users], kept beside it.
var Accounts = fleet.LocalClass[Account]("account")

func (a Account) principal() principal {
	return principal{methods.Actor{Role: methods.Role(a.Role), ID: a.Name}, a.Groups, sha256.Sum256([]byte(a.Password + "\x00" + a.Secret))}
}

// account finds an account, or is NotFound.
func account(tx *store.Tx, name string) (Account, error) {
	var acc Account
	row, err := tx.Get(Accounts, fleet.Row{"name": name})
	if err == nil {
		Accounts.Decode(row, &acc)
	} else if fleet.CodeOf(err) == fleet.NotFound {
		err = fleet.WithHint(err, "list all with: fernwerk user list")
	}
	return acc, err
}

// put writes an account and the user that stands for it.
func put(tx *store.Tx, acc Account) error {
	if err := tx.Put(Accounts, Accounts.Encode(acc)); err != nil {
		return err
	}
	state := "inactive"
	if acc.Secret != "" {
		state = "totp_active"
	}
	user := fleet.Row{"id": acc.Name, "mfaState": state, "otpSecret": nil}
	err := tx.Patch(fleet.Users, user)
	if fleet.CodeOf(err) == fleet.NotFound {
		err = tx.Put(fleet.Users, user)
	}
	return err
}

// note journals what happened to an account.
func note(tx *store.Tx, name, what string, details fleet.Row) error {
	return tx.Note(journal.AccountClass, name, what, details)
}

// keepsAdministrator refuses what would leave nobody who may do everything.
func keepsAdministrator(tx *store.Tx, without string) error {
	rows, err := tx.Select(Accounts, fleet.Filter{"role": string(methods.Administrator)})
	if err != nil {
		return err
	}
	last := false
	for _, r := range rows {
		if r.Str("name") != without {
			return nil
		}
		last = true
	}
	if last {
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot take away %s: it is the last administrator", without),
			"make another account an administrator first: fernwerk user role NAME administrator")
	}
	return nil
}

// remove takes an account and its user away; its sessions end.
func remove(tx *store.Tx, name string) error {
	acc, err := account(tx, name)
	if err != nil {
		return err
	}
	if err := keepsAdministrator(tx, acc.Name); err != nil {
		return err
	}
	if err := tx.Remove(Accounts, Accounts.Encode(acc)); err != nil {
		return err
	}
	if err := note(tx, acc.Name, "removed", nil); err != nil {
		return err
	}
	return tx.Remove(fleet.Users, fleet.Row{"id": acc.Name})
}

// loginAccount checks a password, and a one-time code where the account wants
// one. A name that nobody has takes as long as one that somebody has, and waits
// in the same way. means says what was proved.
func (a *Access) loginAccount(ctx context.Context, name, password, code, address string) (p principal, means string, err error) {
	acc, found, err := a.checkPassword(ctx, name, password, code == "")
	if err != nil {
		if fleet.CodeOf(err) == fleet.Unauthenticated {
			a.attempts.failed(journal.AccountClass, name, found, address)
		}
		return principal{}, "", err
	}
	if acc.Secret == "" {
		return acc.principal(), "password", nil
	}
	if code == "" {
		if rest, appended, ok := splitCode(password); ok && matches(acc.Password, rest) {
			code = appended
		}
	}
	if code == "" {
		return principal{}, "", fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot log in %q: %s", name, methods.CodeMissing),
			"append the six digits of the authenticator to the password, or send them as X-Opsi-Mfa-Otp")
	}
	if acc, err = a.useCode(ctx, name, code); err != nil {
		if fleet.CodeOf(err) == fleet.Unauthenticated {
			a.attempts.failed(journal.AccountClass, name, true, address)
		}
		return principal{}, "", err
	}
	return acc.principal(), "password+totp", nil
}

// checkPassword finds the account that a name and a password are of. Behind the
// password of an account with one-time codes there may be a code, if appended.
func (a *Access) checkPassword(ctx context.Context, name, password string, appended bool) (acc Account, found bool, err error) {
	acc = Account{Password: nobody}
	err = a.store.View(ctx, func(tx *store.Tx) error {
		known, err := account(tx, name)
		switch fleet.CodeOf(err) {
		case fleet.NotFound, fleet.Invalid: // Invalid: no name that an account could have
			return nil
		}
		if err == nil {
			acc, found = known, true
		}
		return err
	})
	if err != nil {
		return acc, found, err
	}
	select { // each check takes 19 MiB
	case a.checks <- struct{}{}:
	case <-ctx.Done():
		return acc, found, ctx.Err()
	}
	defer func() { <-a.checks }()
	// Only now: of many tries at once, all but the first few wait here and then
	// find that the others failed.
	if err := a.failures.allowed(name, a.now()); err != nil {
		return acc, found, err
	}
	right := matches(acc.Password, password)
	if rest, _, ok := splitCode(password); ok && !right && appended && acc.Secret != "" {
		right = matches(acc.Password, rest)
	}
	if !right || !found {
		a.failures.add(name, a.now())
		return acc, found, wrong(name)
	}
	if acc.Secret == "" {
		a.failures.forget(name)
	}
	return acc, found, nil
}

// useCode accepts a one-time code, and no second time: the step is written in
// the transaction that looks at it, so that it holds among all servers of one
// database.
func (a *Access) useCode(ctx context.Context, name, code string) (acc Account, err error) {
	if err := a.codes.charge(name, a.now()); err != nil {
		return acc, err
	}
	err = a.store.Update(ctx, store.Origin{Actor: "login"}, func(tx *store.Tx) error {
		if acc, err = account(tx, name); err != nil {
			return err
		}
		step, ok := codeStepOf(acc.Secret, code, acc.Step, a.now())
		if !ok {
			a.failures.add(name, a.now())
			return fleet.Errorf(fleet.Unauthenticated, "cannot log in %q: the one-time code is wrong, or was used already", name)
		}
		acc.Step = step
		return tx.Put(Accounts, Accounts.Encode(acc))
	})
	if err == nil {
		a.codes.forget(name)
		a.failures.forget(name)
	}
	return acc, err
}

// FirstAdministrator makes the account "admin" if there is no account at all,
// with the given password, or with a made one if that is empty. show is called
// with a made password before it is stored: a crash in between leaves a
// password that counts for nothing, and the next start makes another.
func (a *Access) FirstAdministrator(ctx context.Context, password string, show func(name, password string) error) error {
	var accounts []Account
	var users []fleet.Row
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		if accounts, err = store.All[Account](tx, Accounts, nil); err == nil {
			users, err = tx.Select(fleet.Users, nil)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(accounts) > 0 {
		return a.addUsers(ctx, accounts, users)
	}
	const name = "admin"
	if password == "" {
		password = madePassword()
		if err := show(name, password); err != nil {
			return err
		}
	}
	acc := Account{Name: name, Role: string(methods.Administrator), Password: hash(password)}
	return a.store.Update(ctx, store.Origin{Actor: "first start"}, func(tx *store.Tx) error { return put(tx, acc) })
}

// addUsers makes the users of accounts of a time when there were none.
func (a *Access) addUsers(ctx context.Context, accounts []Account, users []fleet.Row) error {
	has := map[string]bool{}
	for _, u := range users {
		has[u.Str("id")] = true
	}
	var missing []Account
	for _, acc := range accounts {
		if !has[acc.Name] {
			missing = append(missing, acc)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return a.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		for _, acc := range missing {
			if err := put(tx, acc); err != nil {
				return err
			}
		}
		return nil
	})
}

// maxPassword bounds a password in bytes, as it does in a login.
const maxPassword = 1000

// SetPassword gives an account a password, and a role unless that is empty; an
// empty password has one made. An account that is not there is made if there is
// a role for it. It returns the password. Sessions of the account end.
func (a *Access) SetPassword(ctx context.Context, name string, role methods.Role, password string) (string, error) {
	return a.setPassword(ctx, store.Origin{Actor: "server"}, name, role, password)
}

func (a *Access) setPassword(ctx context.Context, by store.Origin, name string, role methods.Role, password string) (string, error) {
	if len(password) > maxPassword {
		return "", fleet.Errorf(fleet.TooLarge, "cannot set the password of %q: it is longer than %d bytes", name, maxPassword)
	}
	if password == "" {
		password = madePassword()
	}
	hashed := hash(password)
	err := a.store.Update(ctx, by, func(tx *store.Tx) error {
		acc, err := account(tx, name)
		what, details := "password", fleet.Row{}
		if fleet.CodeOf(err) == fleet.NotFound && role != "" {
			acc, err = Account{Name: name}, nil
			what = "created"
		}
		if err != nil {
			return fleet.WithHint(err, "an account is made by giving it a role")
		}
		if acc.Password = hashed; role != "" {
			if role != methods.Administrator {
				err = keepsAdministrator(tx, acc.Name)
			} else {
				acc.Groups = nil // nothing is outside what an administrator may do
			}
			if err != nil {
				return err
			}
			acc.Role = string(role)
			details["role"] = acc.Role
		}
		if err := put(tx, acc); err != nil {
			return err
		}
		return note(tx, name, what, details)
	})
	if err == nil {
		a.failures.forget(name)
	}
	return password, err
}

// RemoveAccount takes an account away; its sessions end.
func (a *Access) RemoveAccount(ctx context.Context, name string) error {
	return a.store.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error { return remove(tx, name) })
}

// RemoveCodes makes an account's password enough again, for somebody who lost
// the authenticator.
func (a *Access) RemoveCodes(ctx context.Context, name string) error {
	return a.removeCodes(ctx, store.Origin{Actor: "server"}, name)
}

func (a *Access) removeCodes(ctx context.Context, by store.Origin, name string) error {
	return a.store.Update(ctx, by, func(tx *store.Tx) error {
		acc, err := account(tx, name)
		if err != nil || acc.Secret == "" && acc.Pending == "" {
			return err
		}
		acc.Secret, acc.Pending = "", ""
		if err := put(tx, acc); err != nil {
			return err
		}
		return note(tx, name, "codes off", nil)
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
