package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Publish puts a finished staging folder in the place of the published one; both
// lie in one file system. The copy before is removed afterwards.
//
// Where the system can exchange two names (Linux) there is a complete copy under
// the published name at every moment, and a crash leaves at worst the old copy
// in the staging folder, where the next Sync takes what is useful of it.
// Elsewhere the old copy is renamed first, to a name beside it that no product
// can have; [Recover] repairs what a crash between the two renames leaves.
func Publish(staging, final string) error {
	if err := publish(staging, final, atomicfile.Exchange); err != nil {
		return fmt.Errorf("cannot publish %q: %w", final, err)
	}
	return nil
}

func publish(staging, final string, exchange func(a, b string) error) error {
	if err := recoverFinal(final); err != nil {
		return err
	}
	_, err := os.Lstat(final)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return move(staging, final)
	case err != nil:
		return err
	}
	switch err := exchange(staging, final); {
	case err == nil:
		return os.RemoveAll(staging)
	case !errors.Is(err, atomicfile.ErrNotSupported):
		return err
	}
	if err := move(final, aside(final)); err != nil {
		return err
	}
	if err := move(staging, final); err != nil {
		return errors.Join(err, move(aside(final), final))
	}
	return os.RemoveAll(aside(final))
}

// Recover makes whole what a crash during [Publish] left: if there is no
// published copy, the one before is put back. The agent calls it at its start
// for every product, before anything reads them.
func Recover(final string) error {
	if err := recoverFinal(final); err != nil {
		return fmt.Errorf("cannot recover %q: %w", final, err)
	}
	return nil
}

func recoverFinal(final string) error {
	old := aside(final)
	if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	switch _, err := os.Lstat(final); {
	case err == nil:
		return os.RemoveAll(old) // the new copy is in place
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return move(old, final)
}

// aside is the name of the old copy while the new one takes its place. Product
// ids begin with a letter or a digit.
func aside(final string) string {
	return filepath.Join(filepath.Dir(final), ".old-"+filepath.Base(final))
}

func move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(from))
}
