package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// SyncDir makes the names in a folder durable: what was created, renamed or
// removed there. On Windows it does nothing (see the package comment).
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return flush(path, os.O_RDONLY)
}

// SyncTree makes everything below a folder durable, and the folder itself, but
// not its name in its parent.
//
// Linux flushes the whole file system that holds the folder in one call: for
// ten thousand small files that is far cheaper than one flush each, but it also
// waits for what other programs wrote there. Other file systems mounted below
// the folder are not included. Elsewhere, and where a sandbox forbids the call,
// each regular file and folder is flushed by itself, links are not followed;
// on Windows the files must be writable then.
func SyncTree(path string) error {
	err := syncFS(path)
	if errors.Is(err, errors.ErrUnsupported) {
		return syncWalk(path)
	}
	if err != nil {
		return fmt.Errorf("cannot flush %s: %w", path, err)
	}
	return nil
}

// syncWalk flushes files before the folder that names them.
func syncWalk(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot flush %s: %w", dir, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch e.Type() {
		case fs.ModeDir:
			err = syncWalk(path)
		case 0:
			err = syncFile(path)
		}
		if err != nil {
			return err
		}
	}
	return SyncDir(dir)
}

func syncFile(path string) error {
	if runtime.GOOS == "windows" { // FlushFileBuffers wants the right to write
		return flush(path, os.O_RDWR)
	}
	return flush(path, os.O_RDONLY)
}

func flush(path string, flag int) error {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return fmt.Errorf("cannot flush %s: %w", path, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot flush %s: %w", path, err)
	}
	return nil
}
