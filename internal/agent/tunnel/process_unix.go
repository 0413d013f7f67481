//go:build unix

package tunnel

import (
	"os/exec"
	"syscall"
)

// apart makes a process outlive us, and get none of our signals.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// alive tells whether there is a process.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
