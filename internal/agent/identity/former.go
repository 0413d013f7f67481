package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// A machine that becomes another host has the former one's database still: what
// was run there, and what is to be told of it. Between the new identity and the
// database power may fail, so it is written down before who the machine was.

func formerPath(dataDir string) string { return filepath.Join(dataDir, "former") }

// Leave notes which host a machine is that is about to become another.
func Leave(dataDir, hostID string) error {
	if err := atomicfile.WriteFile(formerPath(dataDir), []byte(hostID+"\n"), 0o600); err != nil {
		return fmt.Errorf("cannot note the former host: %w", err)
	}
	return nil
}

// Settle sets the database of the host aside that the machine was, if it is
// another one by now. The agent does not run, or has not opened it yet.
func Settle(dataDir, hostID string) error {
	data, err := os.ReadFile(formerPath(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	former := strings.TrimSpace(string(data))
	if err == nil && former != hostID && fleet.ValidHostID(former) == nil {
		for _, ext := range []string{"", "-wal", "-shm"} {
			from := filepath.Join(dataDir, "agent.db"+ext)
			if moved := os.Rename(from, filepath.Join(dataDir, "agent.db-of-"+former+ext)); moved != nil && !errors.Is(moved, fs.ErrNotExist) {
				err = moved
				break
			}
		}
	}
	if err == nil {
		err = atomicfile.SyncDir(dataDir)
	}
	if err == nil {
		err = os.Remove(formerPath(dataDir))
	}
	if err != nil {
		return fmt.Errorf("cannot set the former host's data aside: %w", err)
	}
	return nil
}
