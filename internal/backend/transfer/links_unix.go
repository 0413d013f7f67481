//go:build unix

package transfer

import (
	"io/fs"
	"syscall"
)

// canLink says that hard links are made, because links can tell them again.
const canLink = true

// links is the number of names of a file.
func links(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Nlink)
	}
	return 1
}
