package nebula

import (
	"os/exec"
	"syscall"
)

// apart keeps signals for the program that starts it from the process.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
