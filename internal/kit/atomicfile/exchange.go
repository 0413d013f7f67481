package atomicfile

import (
	"errors"
	"fmt"
	"path/filepath"
)

// ErrNotSupported says that this system or file system cannot swap two names
// in one step. The caller does two renames then and repairs at start what a
// crash between them left. It is also an errors.ErrUnsupported.
var ErrNotSupported = fmt.Errorf("swapping two names in one step: %w", errors.ErrUnsupported)

// Exchange swaps two files or folders of one file system, so that every reader
// finds one or the other under each name, and flushes the folders that hold
// them. Both must exist. Only Linux can do it here; elsewhere, and on Linux
// file systems without it, the error is ErrNotSupported and nothing happened.
func Exchange(a, b string) error {
	if err := exchange(a, b); err != nil {
		return fmt.Errorf("cannot exchange %s and %s: %w", a, b, err)
	}
	dirA, dirB := filepath.Dir(a), filepath.Dir(b)
	if err := SyncDir(dirA); err != nil {
		return err
	}
	if dirA == dirB {
		return nil
	}
	return SyncDir(dirB)
}
