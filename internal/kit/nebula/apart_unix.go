//go:build unix

package nebula

import (
	"os/exec"
	"syscall"
)

// apart keeps signals for the program that starts it from the process.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
