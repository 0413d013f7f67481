package atomicfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncFS flushes the file system that holds the path. Since Linux 5.8 it
// reports failed writes; before, it did not.
func syncFS(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	switch err := unix.Syncfs(int(d.Fd())); err {
	case unix.ENOSYS, unix.EPERM: // a sandbox
		return errors.ErrUnsupported
	default:
		return err
	}
}
