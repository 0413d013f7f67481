package freespace

import "golang.org/x/sys/unix"

func disk(path string) (size, available uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, err
	}
	unit := s.Frsize // blocks are counted in fragments, as in statvfs(3)
	if unit == 0 {
		unit = s.Bsize // old kernels and some FUSE file systems
	}
	return s.Blocks * uint64(unit), s.Bavail * uint64(unit), nil
}
