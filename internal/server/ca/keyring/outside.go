package keyring

import (
	"path/filepath"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Outside refuses a file in the data folder, whose backups hold all that is in
// the authority's.
func Outside(dataDir, file string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	data, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		return err
	}
	if strings.HasPrefix(path, data+string(filepath.Separator)) {
		return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot keep the root's key in %s: that is in the server's data folder", file), "name a file on a medium that leaves this machine")
	}
	return nil
}
