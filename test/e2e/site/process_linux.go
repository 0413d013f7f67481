package site

import (
	"os/exec"
	"syscall"
)

// endWithUs makes the kernel kill the child when we are killed, as go test does
// to a test that takes too long.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
