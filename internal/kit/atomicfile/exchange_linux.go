package atomicfile

import "golang.org/x/sys/unix"

func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	switch err {
	case unix.ENOSYS, unix.EINVAL: // old kernel; file system without the flag
		return ErrNotSupported
	}
	return err
}
