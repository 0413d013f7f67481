package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// Saved are the logins that are kept, by the names of their contexts.
type Saved struct {
	Current string             `json:"current"` // "" while none is chosen
	Logins  map[string]Account `json:"logins"`
}

// Names are the contexts' names, sorted.
func (s Saved) Names() []string { return slices.Sorted(maps.Keys(s.Logins)) }

// of finds the context of a server: the current one, if that is the server's.
func (s Saved) of(server string) string {
	if s.Logins[s.Current].Server == server {
		return s.Current
	}
	for _, name := range s.Names() {
		if s.Logins[name].Server == server {
			return name
		}
	}
	return ""
}

// folder is $XDG_CONFIG_HOME/fernwerk, or where the system keeps a user's
// configuration.
func (s *Source) folder() (string, error) {
	dir := s.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return "", fleet.WithHint(fmt.Errorf("cannot find the folder for the login: %w", err), "set XDG_CONFIG_HOME or HOME")
		}
	}
	return filepath.Join(dir, "fernwerk"), nil
}

// Saved reads the saved logins; there may be none.
func (s *Source) Saved() (Saved, error) {
	none := Saved{Logins: map[string]Account{}}
	dir, err := s.folder()
	if err != nil {
		return none, nil // nobody can have saved one
	}
	path := filepath.Join(dir, "login.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	saved := none
	if err == nil {
		err = json.Unmarshal(data, &saved)
	}
	if err == nil && len(saved.Logins) == 0 {
		err = one(data, &saved)
	}
	if err != nil {
		return none, fleet.WithHint(fmt.Errorf("cannot read the saved login %s: %w", path, err), "log in again, or delete the file: fernwerk logout")
	}
	return saved, nil
}

// one reads the file of an earlier fernwerk, which kept one login.
func one(data []byte, saved *Saved) error {
	var a Account
	if err := json.Unmarshal(data, &a); err != nil || a.Server == "" {
		return err
	}
	saved.Current = ContextName(a.Server)
	saved.Logins = map[string]Account{saved.Current: a}
	return nil
}

// ContextName is what the context of a server is called where nobody says.
func ContextName(server string) string {
	if u, err := url.Parse(server); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return "local"
}

// Save keeps a login for later runs and makes its context the current one. An
// empty name is the one that the server's login has already, or its host's
// name. It returns the name and the file, which only its owner can read.
func (s *Source) Save(name string, a Account) (context, path string, err error) {
	saved, err := s.Saved()
	if err != nil {
		return "", "", err
	}
	if name == "" {
		name = saved.of(a.Server)
	}
	if name == "" {
		name = ContextName(a.Server)
		for n := 2; saved.Logins[name].Server != ""; n++ {
			name = fmt.Sprintf("%s-%d", ContextName(a.Server), n)
		}
	}
	saved.Logins[name], saved.Current = a, name
	path, err = s.write(saved)
	return name, path, err
}

func (s *Source) write(saved Saved) (path string, err error) {
	dir, err := s.folder()
	if err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(saved, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot save the login: %w", err)
	}
	path = filepath.Join(dir, "login.json")
	if err := atomicfile.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("cannot save the login: %w", err)
	}
	return path, nil
}

// prolong saves the session that a server made of a saved one.
func (s *Source) prolong(a Account) error {
	saved, err := s.Saved()
	if err != nil {
		return err
	}
	name := saved.of(a.Server)
	old := saved.Logins[name]
	if old.Server == "" || old.User != a.User || old.Session == "" {
		return nil // not a saved one
	}
	old.Session = a.Session
	saved.Logins[name] = old
	_, err = s.write(saved)
	return err
}

// SetPassword saves a new password in the login of a server, if it holds one.
func (s *Source) SetPassword(a Account, password string) error {
	saved, err := s.Saved()
	if err != nil {
		return err
	}
	name := saved.of(a.Server)
	old := saved.Logins[name]
	if old.Server == "" || old.User != a.User || old.Password == "" {
		return nil
	}
	old.Password = password
	saved.Logins[name] = old
	_, err = s.write(saved)
	return err
}

// Use makes a context the current one.
func (s *Source) Use(name string) error {
	saved, err := s.Saved()
	if err != nil {
		return err
	}
	if _, err := saved.login(name); err != nil {
		return err
	}
	saved.Current = name
	_, err = s.write(saved)
	return err
}

// login is the login of a context that must be there.
func (s Saved) login(name string) (Account, error) {
	a, ok := s.Logins[name]
	if !ok {
		return a, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find context %q%s", name, nearest.Phrase(name, s.Names())),
			"list all with: fernwerk context list")
	}
	return a, nil
}

// Forget deletes the login of a context, or of the current one, and says which;
// "" if there was none. A file that cannot be read is deleted whole.
func (s *Source) Forget(name string) (string, error) {
	saved, err := s.Saved()
	if err != nil {
		return "all", s.remove()
	}
	if name == "" {
		name = saved.Current
	} else if _, err := saved.login(name); err != nil {
		return "", err
	}
	if saved.Logins[name].Server == "" {
		return "", nil
	}
	delete(saved.Logins, name)
	if saved.Current == name {
		saved.Current = ""
	}
	if len(saved.Logins) == 0 {
		return name, s.remove()
	}
	_, err = s.write(saved)
	return name, err
}

func (s *Source) remove() error {
	dir, err := s.folder()
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "login.json")); err != nil {
		return fmt.Errorf("cannot delete the saved login: %w", err)
	}
	return atomicfile.SyncDir(dir)
}
