// Package freespace tells how much a program may still write, so that a transfer
// too large for the disk is refused before it begins and not at its last file.
//
// The answer is a snapshot; others write too. What the file system keeps for
// root is not counted, quotas are counted on Windows only, and file systems that
// compress or share blocks can only estimate.
package freespace

import "fmt"

// Of returns the bytes that this user may write to the file system that holds
// the path. The path must exist.
func Of(path string) (uint64, error) {
	_, n, err := Disk(path)
	return n, err
}

// Disk returns the size of that file system too.
func Disk(path string) (size, available uint64, err error) {
	if size, available, err = disk(path); err != nil {
		return 0, 0, fmt.Errorf("cannot tell free space of %s: %w", path, err)
	}
	return size, available, nil
}
