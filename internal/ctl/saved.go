package ctl

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

// saved is the login that `fernwerk login` keeps in login.json, readable by its
// owner only. It holds the password, as there is no credential of less power
// yet: whoever can read the file can log in.
type saved struct {
	Server   string `json:"server"`
	User     string `json:"user"`
	Password string `json:"password"`
	CA       string `json:"ca,omitempty"` // PEM; empty trusts what the system trusts
}

// savedPath is $XDG_CONFIG_HOME/fernwerk/login.json, or where the system keeps
// a user's configuration.
func (t *tool) savedPath() (string, error) {
	dir := t.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return "", fleet.WithHint(fmt.Errorf("cannot find the folder for the login: %w", err), "set XDG_CONFIG_HOME or HOME")
		}
	}
	return filepath.Join(dir, "fernwerk", "login.json"), nil
}

// loadSaved reads the saved login; there may be none.
func (t *tool) loadSaved() (saved, error) {
	var s saved
	path, err := t.savedPath()
	if err != nil {
		return s, nil // nobody can have saved one
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return saved{}, fleet.WithHint(fmt.Errorf("cannot read the saved login %s: %w", path, err), "log in again, or delete the file: fernwerk logout")
	}
	return s, nil
}

func (t *tool) save(s saved) (path string, err error) {
	if path, err = t.savedPath(); err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(s, "", "  ")
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

// forget deletes the saved login and says whether there was one.
func (t *tool) forget() (bool, error) {
	path, err := t.savedPath()
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
