//go:build unix

package shell

import "syscall"

// errCrossDevice is what a rename between file systems gives.
const errCrossDevice = syscall.EXDEV
