package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// path is $XDG_CONFIG_HOME/fernwerk/login.json, readable by its owner only, or
// where the system keeps a user's configuration.
func (s *Source) path() (string, error) {
	dir := s.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return "", fleet.WithHint(fmt.Errorf("cannot find the folder for the login: %w", err), "set XDG_CONFIG_HOME or HOME")
		}
	}
	return filepath.Join(dir, "fernwerk", "login.json"), nil
}

// load reads the saved login; there may be none.
func (s *Source) load() (Account, error) {
	var a Account
	path, err := s.path()
	if err != nil {
		return a, nil // nobody can have saved one
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		return Account{}, fleet.WithHint(fmt.Errorf("cannot read the saved login %s: %w", path, err), "log in again, or delete the file: fernwerk logout")
	}
	return a, nil
}

// Save keeps a login for later runs and returns where.
func (s *Source) Save(a Account) (path string, err error) {
	if path, err = s.path(); err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("cannot save the login: %w", err)
	}
	if err := atomicfile.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("cannot save the login: %w", err)
	}
	return path, nil
}

// Forget deletes the saved login and says whether there was one.
func (s *Source) Forget() (bool, error) {
	path, err := s.path()
	if err != nil {
		return false, err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot delete the saved login: %w", err)
	}
	return true, atomicfile.SyncDir(filepath.Dir(path))
}
