package ctl

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// account is the server of this run, who we are there and why we trust it.
type account struct {
	saved
	hasPassword bool
}

// maxSecret bounds a password file, in bytes.
const maxSecret = 4 << 10

// account gathers flags, environment and the saved login. The saved password
// goes only to the server and user that it was saved for, the saved CA only
// vouches for its server.
func (t *tool) account() (account, error) {
	var a account
	old, err := t.loadSaved()
	if err != nil {
		return a, err
	}
	server := cmp.Or(t.flags.server, t.Getenv("FERNWERK_SERVER"), old.Server)
	if server == "" {
		return a, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot tell which server is meant: nobody is logged in"),
			"run: fernwerk login https://SERVER:4447")
	}
	if a.Server, err = address(server); err != nil {
		return a, err
	}
	if a.Server == old.Server {
		a.CA = old.CA
	} else {
		old.User = ""
	}
	a.User = cmp.Or(t.flags.user, t.Getenv("FERNWERK_USER"), old.User)
	if a.Password, a.hasPassword, err = t.password(); err != nil {
		return a, err
	}
	if !a.hasPassword && old.User != "" && a.User == old.User {
		a.Password, a.hasPassword = old.Password, true
	}
	if file := cmp.Or(t.flags.ca, t.Getenv("FERNWERK_CA")); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return a, fmt.Errorf("cannot read the CA file: %w", err)
		}
		a.CA = string(data)
	}
	return a, nil
}

// password is the one that a flag or the environment gives.
func (t *tool) password() (string, bool, error) {
	if t.flags.passwordFile == "" {
		p := t.Getenv("FERNWERK_PASSWORD")
		return p, p != "", nil
	}
	in := t.In
	if t.flags.passwordFile != "-" {
		f, err := os.Open(t.flags.passwordFile)
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
		return "", false, fmt.Errorf("cannot read the password from %s: %w", t.flags.passwordFile, err)
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
