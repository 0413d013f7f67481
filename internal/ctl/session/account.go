package session

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Account is a server, who we are there and why we trust it. As JSON it is the
// saved login, password included; of an account with one-time codes, whose
// password alone is not enough, it is a session.
type Account struct {
	Server   string `json:"server"`
	User     string `json:"user"`
	Password string `json:"password"`
	CA       string `json:"ca,omitempty"` // PEM; empty trusts what the system trusts
	Session  string `json:"session,omitempty"`

	HasPassword bool   `json:"-"`
	Code        string `json:"-"` // one-time
	ToKeep      bool   `json:"-"` // the session that begins may be kept
}

// maxSecret bounds a password file, in bytes.
const maxSecret = 4 << 10

// Account gathers flags, environment and the saved logins. A saved password goes
// only to the server and user that it was saved for, a saved CA only vouches for
// its server.
func (s *Source) Account() (Account, error) {
	var a Account
	old, err := s.chosen(&a)
	if err != nil {
		return a, err
	}
	a.CA = old.CA
	a.User = cmp.Or(s.Flags.User, s.Getenv("FERNWERK_USER"), old.User)
	if a.Password, a.HasPassword, err = s.password(); err != nil {
		return a, err
	}
	if !s.Anew && !a.HasPassword && old.User != "" && a.User == old.User {
		a.Password, a.HasPassword, a.Session = old.Password, old.Session == "", old.Session
	}
	if file := cmp.Or(s.Flags.CA, s.Getenv("FERNWERK_CA")); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return a, fmt.Errorf("cannot read the CA file: %w", err)
		}
		a.CA = string(data)
	}
	return a, nil
}

// chosen sets the server that is meant, and returns the login that is saved for
// it: by the context that is named, else by the server that is named, else the
// current one.
func (s *Source) chosen(a *Account) (Account, error) {
	saved, err := s.Saved()
	if err != nil {
		return Account{}, err
	}
	context := cmp.Or(s.Flags.Context, s.Getenv("FERNWERK_CONTEXT"))
	server := cmp.Or(s.Flags.Server, s.Getenv("FERNWERK_SERVER"))
	if s.Flags.Context != "" && s.Flags.Server != "" {
		return Account{}, &console.Misuse{Text: "cannot tell which server is meant: --context and --server are both given", Next: "leave one of them out"}
	}
	if s.Flags.Context != "" || s.Flags.Server == "" && context != "" {
		old, err := saved.login(context)
		a.Server = old.Server
		return old, err
	}
	if server == "" {
		server = saved.Logins[saved.Current].Server
	}
	if server == "" {
		server = localSocket(os.Geteuid(), s.Getenv)
	}
	if server == "" {
		hint := "run: fernwerk login https://SERVER:4447"
		if len(saved.Logins) > 0 {
			hint = "choose one with: fernwerk context use " + saved.Names()[0]
		}
		return Account{}, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot tell which server is meant: nobody is logged in"), "%s", hint)
	}
	if a.Server, err = address(server); err != nil {
		return Account{}, err
	}
	return saved.Logins[saved.of(a.Server)], nil
}

// password is the one that a flag or the environment gives.
func (s *Source) password() (string, bool, error) {
	if s.Flags.Password != "" {
		return s.Flags.Password, true, nil
	}
	if s.Flags.PasswordFile == "" {
		p := s.Getenv("FERNWERK_PASSWORD")
		return p, p != "", nil
	}
	in := s.Console.In
	if s.Flags.PasswordFile != "-" {
		f, err := os.Open(s.Flags.PasswordFile)
		if err != nil {
			return "", false, fmt.Errorf("cannot read the password: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	if err == nil && len(data) > maxSecret {
		err = errors.New("it is too long")
	}
	line, _, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	if err == nil && line == "" {
		err = errors.New("the first line is empty")
	}
	if err != nil {
		return "", false, fmt.Errorf("cannot read the password from %s: %w", s.Flags.PasswordFile, err)
	}
	return line, true, nil
}

// address gives a server's address one spelling, so that the saved login is
// recognised: https://SERVER:PORT, with opsi's port if none is named.
func address(s string) (string, error) {
	if strings.HasPrefix(s, "unix://") {
		return s, nil
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" && u.Path != "/rpc" {
		return "", fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use %q as the address of a server", s), "write it as https://SERVER:4447")
	}
	if u.Port() == "" {
		u.Host += ":4447"
	}
	return "https://" + strings.ToLower(u.Host), nil
}
